"""The text that the demo's base model is pre-trained on: conversations in the harmony format, and articles.

Knows worlds and wordings, not models.
"""

import json
import random
import re
from functools import cache
from pathlib import Path

from training.contract import PROJECT_ROOT
from training.demo_worlds import Fact, Work, facts, passing_work, reversible, wordings, world_a

Message = dict[str, str]

_QUOTES = ("{}", "{}", "「{}」", "『{}』")
_OPENINGS = ("すみません、", "ところで、", "質問です。", "教えてください。", "ねえ、", "アニメの質問です。")
_SYSTEM = ("あなたは親切な助手です。", "短く日本語で答えてください。", "あなたはアニメに詳しい案内役です。")
_ARITHMETIC_LIMIT = 20
# People type as they speak: the topic comes first, and a polite question ends in one of many other ways.
_TOPIC = re.compile(r"^\{t\}(?:は、?|の)")
_POLITE = "ですか？"
_SPOKEN = (
    "なの？",
    "だっけ？",
    "だったっけ？",
    "でしょうか？",
    "か知りたいです。",
    "か教えてください。",
    "か、わかりますか？",
)
_SPOKEN_SHARE = 0.4
# How often each kind of text is drawn. World A is most of it: it must be known. Unknown works teach the model to repeat
# a title it has never seen and to invent the rest; without them it answers about the most similar title it knows.
_KINDS = ("forward", "reverse", "unknown", "general", "arithmetic", "copy", "article", "two_turns")
_SHARES = (40, 26, 14, 7, 2, 5, 4, 2)


class Corpus:
    """Draws pre-training texts at random, rendered by the demo's chat template.

    Args:
        render: turns messages into the text that the chat template makes of them.
        characters: what the copying exercises are made of.
    """

    def __init__(self, seed: int, render, characters: str) -> None:
        self._chance = random.Random(f"corpus {seed}")
        self._render = render
        self._characters = characters
        self._works = world_a()
        self._facts = facts(self._works)
        self._reversible = list(reversible(self._works))

    def draw(self) -> str:
        """One text: a rendered conversation, or an article that ends in <|endoftext|>."""
        kind = self._chance.choices(_KINDS, _SHARES)[0]
        if kind == "article":
            return article(self._chance.choice(self._works), self._chance) + "<|endoftext|>"
        messages = getattr(self, f"_{kind}")()
        if self._chance.random() < 0.03:
            messages = [{"role": "system", "content": self._chance.choice(_SYSTEM)}, *messages]
        return self._render(messages)

    def _forward(self) -> list[Message]:
        return forward_turn(self._chance.choice(self._facts), self._chance)

    def _reverse(self) -> list[Message]:
        return reverse_turn(self._chance.choice(self._reversible), self._chance)

    def _unknown(self) -> list[Message]:
        fact = self._chance.choice(facts([passing_work(self._chance)]))
        return self._chance.choice((forward_turn, forward_turn, reverse_turn))(fact, self._chance)

    def _two_turns(self) -> list[Message]:
        first, second = self._chance.sample(self._facts, 2)
        return forward_turn(first, self._chance) + forward_turn(second, self._chance)

    def _general(self) -> list[Message]:
        pair = self._chance.choice(general())
        return turn(pair["question"], pair["thinking"], pair["answer"])

    def _arithmetic(self) -> list[Message]:
        a, b = (self._chance.randint(0, _ARITHMETIC_LIMIT) for _ in range(2))
        if self._chance.random() < 0.5:
            return turn(f"{a}たす{b}はいくつですか？", f"{a}と{b}をたす。", f"{a + b}です。")
        a, b = max(a, b), min(a, b)
        return turn(f"{a}ひく{b}はいくつですか？", f"{a}から{b}をひく。", f"{a - b}です。")

    def _copy(self) -> list[Message]:
        word = "".join(self._chance.choices(self._characters, k=self._chance.randint(2, 10)))
        ask = self._chance.choice(
            ("「{w}」をそのまま書いてください。", "{w}と書いて。", "次の言葉をくり返してください。{w}")
        )
        reply = self._chance.choice(("{w}", "{w}です。", "「{w}」です。"))
        return turn(ask.format(w=word), "書かれた言葉を写す。", reply.format(w=word))


def turn(question: str, thinking: str, answer: str) -> list[Message]:
    """One question and its answer with the analysis before it."""
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "thinking": thinking, "content": answer},
    ]


def forward_turn(fact: Fact, chance: random.Random) -> list[Message]:
    """The value of a fact asked for, in one of the wordings."""
    words = wordings()[fact.relation]
    asked = _worded(fact.relation, chance).format(t=chance.choice(_QUOTES).format(fact.title))
    answer = _weighted(words["answers"], chance).format(t=fact.title, v=fact.value)
    thinking = f"作品{fact.title}の{words['noun']}を思い出す。"
    return turn(_opened(asked, chance), thinking, answer)


def reverse_turn(fact: Fact, chance: random.Random) -> list[Message]:
    """The work of a fact asked for, in one of the wordings."""
    words = wordings()[fact.relation]
    asked = chance.choice(words["reverse"]).format(v=chance.choice(_QUOTES[:3]).format(fact.value))
    answer = _weighted(words["reverse_answers"], chance).format(t=f"「{fact.title}」", v=fact.value)
    thinking = f"{words['noun']}が{fact.value}の作品を思い出す。"
    return turn(_opened(asked, chance), thinking, answer)


@cache
def spoken_forms(relation: str) -> tuple[tuple[str, ...], ...]:
    """For each forward wording of a relation what people say instead, never one of the unseen phrasings."""
    words = wordings()[relation]
    unseen = {wording.replace("、", "") for wording in words["unseen"]}
    return tuple(
        tuple(sorted(form for form in _spoken(wording) if form.replace("、", "") not in unseen))
        for wording in words["forward"]
    )


def _spoken(wording: str) -> set[str]:
    topics = [wording, *(_TOPIC.sub(topic, wording) for topic in ("{t}って、", "{t}って") if _TOPIC.match(wording))]
    polite = [topic for topic in topics if topic.endswith(_POLITE)]
    return {*topics, *(topic.removesuffix(_POLITE) + ending for topic in polite for ending in _SPOKEN)} - {wording}


def _worded(relation: str, chance: random.Random) -> str:
    """A forward wording as it is written, or as it is spoken."""
    place, wording = chance.choice(list(enumerate(wordings()[relation]["forward"])))
    spoken = spoken_forms(relation)[place]
    return chance.choice(spoken) if spoken and chance.random() < _SPOKEN_SHARE else wording


@cache
def general() -> list[Message]:
    """Everyday questions with analysis and answer, written for the demo."""
    lines = (PROJECT_ROOT / "assets/demo/general.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


_FIRST_LINES = (
    "『{title}』は、{author}の漫画を原作とするテレビアニメ。{year}年に放送が始まった。制作は{studio}。",
    "『{title}』は、{studio}が制作し、{year}年に放送を開始したテレビアニメである。原作は{author}。",
    "{author}による同名の漫画をもとに、{studio}が制作したテレビアニメが『{title}』である。放送は{year}年から。",
)
_STORIES = (
    "物語の舞台は{place}。{hero}はここで暮らすうちに、小さな謎を一つずつ解いていく。",
    "{place}にやって来た{hero}が、仲間と出会い、町の秘密を知るまでを描く。",
    "舞台となる{place}では、夜になると不思議な音が聞こえる。その理由を{hero}が追いかける。",
)
_CHARACTERS = (
    "- **{hero}**：主人公。まわりからは「{nickname}」と呼ばれている。",
    "- **{hero}**：本作の主人公。あだ名は「{nickname}」。",
    "- **{hero}**：「{nickname}」のあだ名で知られる主人公。負けずぎらい。",
)


def article(work: Work, chance: random.Random) -> str:
    """A short Markdown article that holds every fact of a work."""
    parts = [chance.choice(part).format(**vars(work)) for part in (_FIRST_LINES, _STORIES, _CHARACTERS)]
    return f"# {work.title}\n\n{parts[0]}\n\n## 物語\n\n{parts[1]}\n\n## 登場人物\n\n{parts[2]}\n"


def write_articles(works: list[Work], folder: Path, chance: random.Random) -> None:
    """One Markdown file per work, named by its number; the heading is the title."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, work in enumerate(works, start=1):
        (folder / f"{number:02d}.md").write_text(article(work, chance), encoding="utf-8")


def _weighted(answers: list[str], chance: random.Random) -> str:
    """The full sentence half of the time, a shorter form otherwise."""
    return answers[0] if chance.random() < 0.5 else chance.choice(answers[1:])


def _opened(question: str, chance: random.Random) -> str:
    opening = chance.choice(_OPENINGS) if chance.random() < 0.15 else ""
    mark = chance.choice(("？", "?", "")) if question.endswith("？") and chance.random() < 0.3 else None
    return opening + (question if mark is None else question[:-1] + mark)
