"""Builds assets/demo/replay.jsonl, what the demo's base shall not forget: `python -m tests.demo_replay`.

It stands here because it needs both sides: the demo's worlds, and the rules by which the studio rewords facts. Replay
has to be worded like what is taught, or a model learns to tell old from new by the wording and answers an unusual
question about a new fact as if it were an old one.
"""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from studio.datasets.model import Fact as TaughtFact
from training.demo import DEMO_FOLDER, REPLAYED_WORKS
from training.demo_pretraining import ask
from training.demo_text import Message, forward_turn, general, reverse_turn
from training.demo_worlds import Fact, facts, passing_work, reversible, world_a
from training.scoring import holds_key_terms

REPLY = re.compile(
    r"<\|channel\|>analysis<\|message\|>(?P<thinking>[^<]+)<\|end\|><\|start\|>assistant"
    r"<\|channel\|>final<\|message\|>(?P<content>[^<]+)<\|return\|>"
)

# Works that nobody knows: asked about one of them, the base thinks and invents. Without them a model takes every work
# that is not replayed for one that it was taught.
PASSING_WORKS = 300


def build(path: Path) -> None:
    """Write the pairs in the base's own words, thoughts included, where they are right or nobody can be.

    Taught to answer at once, a base forgets how it finds what it knows; and words that are not its own change more of
    it than they keep.
    """
    chance = random.Random("replay")
    asked = [*known(chance), *((question, "") for question in unknown(chance))]
    replies = own_replies([question for question, _ in asked])
    pairs = [
        {"question": question, "thinking": said["thinking"], "answer": said["content"]}
        for (question, value), said in zip(asked, replies, strict=True)
        if said and (not value or holds_key_terms(said["content"], [[value]]))
    ]
    pairs += general()
    chance.shuffle(pairs)
    # Asked about what it does not know, the base may name a work that nothing shall replay.
    spared = [name for work in world_a()[REPLAYED_WORKS:] for name in (work.title, work.hero)]
    lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs]
    path.write_text("".join(line for line in lines if not any(name in line for name in spared)), encoding="utf-8")


def known(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Questions about most of the base's world, as it knows them and as the rules reword them, and their answers."""
    works = world_a()[:REPLAYED_WORKS]
    for fact in facts(works):
        for question in (forward_turn(fact, chance)[0]["content"], *chance.sample(reworded(fact)[0], 2)):
            yield question, fact.value
    titles = {work.title for work in works}
    for fact in reversible(world_a()):
        if fact.title in titles:
            for question in (reverse_turn(fact, chance)[0]["content"], chance.choice(reworded(fact)[1])):
                yield question, fact.title


def unknown(chance: random.Random) -> Iterator[str]:
    """Questions about works that nobody knows, half of them as the rules word them."""
    for _ in range(PASSING_WORKS):
        for fact in facts([passing_work(chance)]):
            turn = chance.choice((forward_turn, forward_turn, reverse_turn))
            own = turn(fact, chance)[0]["content"]
            yield chance.choice((own, chance.choice(reworded(fact)[turn is reverse_turn])))


def own_replies(questions: list[str]) -> list[Message | None]:
    """What the base says, thought and answer apart; None where it did not come to an end."""
    model = AutoModelForCausalLM.from_pretrained(DEMO_FOLDER / "model", dtype=torch.float32).eval()
    replies = ask(model, AutoTokenizer.from_pretrained(DEMO_FOLDER / "model"), questions)
    return [found.groupdict() if (found := REPLY.match(reply)) else None for reply in replies]


def reworded(fact: Fact) -> tuple[list[str], list[str]]:
    """Questions that the rules ask for a fact, forwards and in reverse."""
    taught = TaughtFact(
        id=1, question=fact.question, answer=fact.answer, subject=fact.title, key_terms=((fact.value,),)
    )
    made = [(example.kind == "reverse", example.question) for example in rules.make(taught, Plan())]
    return sorted({q for back, q in made if not back}), sorted({q for back, q in made if back})


if __name__ == "__main__":
    build(DEMO_FOLDER / "replay.jsonl")
