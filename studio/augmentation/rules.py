"""Rewords and reverses the usual Japanese question by rules, without a model; it must not know datasets or jobs."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from studio.augmentation.plan import Plan
from studio.augmentation.reading import Question, folded, read_question
from studio.augmentation.values import Value, read_answer
from studio.augmentation.wording import PROMPT_VERSION, Family, wordings
from studio.datasets.model import Fact, MadeExample
from training.contract import AnswerStyle

GENERATOR = "rules"
PATTERNS = {name: (*family.forward, *family.reverse) for name, family in wordings().families.items()}

# A reversed question that can be turned into a wish for one of several right answers.
_DEFINITE = re.compile(
    r"(?P<head>.+?)(?:は(?P<word>何|誰|どこ)(?:ですか|でしょうか)[？?]|(?:の名前|の題名)?を(?:教えて|答えて)ください。)"
)
# (relation, value): two facts with the same one cannot both be the answer of a reversed question.
ReverseKey = tuple[str, str]
Answer = tuple[AnswerStyle, str]


class NeedsModel(Exception):
    """The rules cannot reword this fact honestly; `reason` is an i18n key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Reading:
    """A fact as the rules understand it."""

    question: Question
    value: Value

    @property
    def key(self) -> ReverseKey:
        """What a reversed question names: two facts that share it cannot be told apart by one."""
        return folded(self.question.context + self.question.relation), folded(self.value.value)


def read(fact: Fact) -> Reading:
    """Understand a fact.

    Raises:
        NeedsModel: the question or the answer has none of the forms that the rules know.
    """
    question = read_question(fact.question)
    if question is None:
        explains = re.search(r"とは|なぜ|どう|理由|違い|について|説明|特徴", fact.question)
        raise NeedsModel("augment.needs_model_explanation" if explains else "augment.needs_model_question")
    terms = tuple(alternatives[0] for alternatives in fact.key_terms if alternatives)
    value = read_answer(fact.answer, question, terms)
    if value is None:
        raise NeedsModel("augment.needs_model_answer")
    if question.family == "無" and re.match(r"[約第]?[0-9０-９]", value.value):
        question = replace(question, family="数")
    return Reading(question, value)


def make(fact: Fact, plan: Plan) -> list[MadeExample]:
    """The examples the rules make beside the fact's seed pair; fewer than planned where wordings run out.

    Args:
        fact: its question and answer are the seed pair, which counts as one of the plan's.
        plan: how many of what, for this fact: under `ask_for_one` the reversed questions ask for one of several.

    Raises:
        NeedsModel: the question or the answer has none of the forms that the rules know.
    """
    reading = read(fact)
    forward = [fact.question, *_forward(fact, reading)][: plan.forward]
    made = [
        _example(fact, "paraphrase", question, answer)
        for question in forward
        for answer in _forward_answers(fact, reading)[: plan.answers]
        if (question, answer[1]) != (fact.question, fact.answer)
    ]
    answers = _reverse_answers(reading)[: plan.answers]
    reverse = _reverse(reading)
    if plan.shared_reverse == "ask_for_one":
        reverse = list(dict.fromkeys(filter(None, map(_for_one, reverse))))
    return made + [
        _example(fact, "reverse", question, answer) for question in reverse[: plan.reverse] for answer in answers
    ]


def questions(fact: Fact) -> set[str]:
    """Every forward and reversed question that the rules could make of a fact; empty where they need a model."""
    try:
        reading = read(fact)
    except NeedsModel:
        return set()
    return {*_forward(fact, reading), *_reverse(reading)}


def _example(fact: Fact, kind: str, question: str, answer: Answer) -> MadeExample:
    return MadeExample(
        fact_id=fact.id,
        kind="reverse" if kind == "reverse" else "paraphrase",
        answer_style=answer[0],
        question=question,
        answer=answer[1],
        generator=GENERATOR,
        prompt_version=PROMPT_VERSION,
    )


def _forward(fact: Fact, reading: Reading) -> list[str]:
    """Forward wordings other than the seed's own; one that differs by quotes or a mark alone is no paraphrase."""
    family, words = _family(reading), _words(reading)
    seen = {_asked(fact.question)}
    kept: list[str] = []
    for number, wording in enumerate(family.forward):
        # A title that the seed leaves unquoted is written both ways, as people do.
        written = {**words, **_about(words["title"], reading)} if number % 2 == 0 else words
        question = _mark(reading.question.context + wording.format(**written), reading)
        if _asked(question) not in seen:
            seen.add(_asked(question))
            kept.append(question)
    return kept


def _reverse(reading: Reading) -> list[str]:
    family, words = _family(reading), _words(reading)
    return [_mark(reading.question.context + wording.format(**words), reading) for wording in family.reverse]


def _for_one(question: str) -> str | None:
    """A reversed question as a wish for one of several right answers; None where its form cannot say so."""
    match = _DEFINITE.fullmatch(question)
    if match is None:
        return None
    head, person = match["head"], match["word"] == "誰" or match["head"].endswith(("キャラクター", "人", "者"))
    if head.endswith("の"):
        head = re.sub(r"なの$", "であるの", head)[:-1] + ("人" if person else "もの")
    return f"{head}を{'一人' if person else '一つ'}挙げてください。"


def _forward_answers(fact: Fact, reading: Reading) -> list[Answer]:
    """The seed answer first, then the same content in other words; nothing is added that the seed does not say."""
    family, words = _family(reading), _words(reading)
    plain, detailed = family.plain.format(**words), family.detailed.format(**words)
    if reading.value.form == "bare":
        return [("short", fact.answer), ("detailed", plain)]
    if reading.value.form == "detailed":
        return [("detailed", fact.answer), ("short", plain)]
    other = detailed if folded(detailed) != folded(fact.answer) else plain
    return [("short", fact.answer), ("detailed", other)]


def _reverse_answers(reading: Reading) -> list[Answer]:
    family, words = _family(reading), _words(reading)
    words |= _about(words["title"], reading)
    full = family.plain.format(**words)
    if reading.value.detail != reading.value.value and reading.question.family != "時":
        full = "{x}の{y}は、{detail}です。".format(**words)
    return [("short", family.answer.format(**words)), ("detailed", f"それは{words['x']}です。{full}")]


def _family(reading: Reading) -> Family:
    return wordings().families[reading.question.family]


def _mark(question: str, reading: Reading) -> str:
    return question if question.endswith("。") else question + reading.question.mark


def _asked(question: str) -> str:
    """A question without what makes no paraphrase of it: quotes, marks, politeness."""
    return re.sub(r"(?:ですか|でしょうか|でしょう)$", "", folded(question))


def _words(reading: Reading) -> dict[str, str]:
    """What the placeholders of a family stand for; `title` is the subject in quotes where it is a work."""
    asked, value, known = reading.question, reading.value, wordings()
    family, kind = known.families[asked.family], _subject_kind(reading)
    quoted = re.compile(r"[「」『』]")
    term = f"「{value.value}」" if family.quote and not quoted.search(value.value) else value.value
    words = {
        "title": f"「{asked.subject}」" if kind == "work" and not quoted.search(asked.subject) else asked.subject,
        "y": asked.relation,
        "v": term,
        "detail": value.detail,
        "w": asked.word or family.asks,
        "q": {"work": "どの作品", "person": "誰", "character": "誰", "place": "どこ"}.get(kind, "何"),
        "act": known.acts.get(asked.relation, "制作"),
        "n": known.places.get(asked.relation, ""),
    }
    if event := known.event_of(asked.relation):
        words |= {"past": event.past, "polite": event.polite, "n": event.n}
    return words | _about(asked.subject, reading)


def _about(subject: str, reading: Reading) -> dict[str, str]:
    """The placeholders that hold the subject, written as given."""
    event = wordings().event_of(reading.question.relation)
    parts = {"topic": event.topic.format(x=subject), "clause": event.clause.format(x=subject)} if event else {}
    return {"x": subject, **parts}


def _subject_kind(reading: Reading) -> str:
    """What sort of thing the subject is: it decides the question word of a reversed question."""
    asked = reading.question
    kind = wordings().families[asked.family].subject
    if kind == "event":
        event = wordings().event_of(asked.relation)
        return "work" if event and event.n == "作品" else "thing"
    if kind != "auto":
        return kind
    if re.search(
        r"(?:主人公|主役|ヒロイン|ヒーロー|相棒|敵役|監督|作者|原作者)(?:である)?[^の」』]*$|、", asked.subject
    ):
        return "person"
    named = next((kind for kind, nouns in wordings().subjects.items() if asked.relation in nouns), None)
    if re.fullmatch(r"「[^」]+」|『[^』]+』", asked.subject) and named != "person":
        return "work"
    if named:
        return named
    thing = r"(?:灯台|駅|線|橋|山|川|塔|号|店|社|大学|高校|学校|部|団|列車|機|寺|城|湖|海|タワー|組|会)$"
    if re.search(thing, asked.subject):
        return "thing"
    if re.search(r"(?:国|県|市|町|村|島|都|府|州|大陸|日本)$", asked.subject):
        return "place"
    return "person" if asked.family == "愛称" else "thing"


def families(facts: Iterable[Fact]) -> Counter[str]:
    """How many facts each family of wordings covers; a fact that needs a model counts under its reason."""
    counted: Counter[str] = Counter()
    for fact in facts:
        try:
            counted[read(fact).question.family] += 1
        except NeedsModel as need:
            counted[need.reason] += 1
    return counted
