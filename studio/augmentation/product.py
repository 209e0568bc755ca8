"""Makes a fact's examples out of a model's reply and lets the gates look at them; it must not know who asked."""

from collections.abc import Iterable

from studio.augmentation.gates import Gates
from studio.augmentation.plan import Plan
from studio.augmentation.prompts import WORDINGS, Reply
from studio.datasets.model import Fact, MadeExample
from studio.datasets.text import is_storable
from training.contract import AnswerStyle


def examples(fact: Fact, plan: Plan, reply: Reply, model: str) -> list[MadeExample]:
    """The product of a reply's questions and answers with the seed pair counted in."""
    seed_style: AnswerStyle = "short" if fact.short_answer else "detailed"
    other_style: AnswerStyle = "detailed" if fact.short_answer else "short"
    forward = _distinct([fact.question, *reply.questions])[: plan.forward]
    answers = _distinct([fact.answer, reply.answer])[: plan.answers]
    styled = list(zip(answers, (seed_style, other_style), strict=False))
    made = [
        _example(fact, "paraphrase", (question, *answer), model)
        for question in forward
        for answer in styled
        if (question, answer[0]) != (fact.question, fact.answer)
    ]
    styles: tuple[AnswerStyle, AnswerStyle] = ("short", "detailed")
    reversed_answers = list(zip(_distinct(reply.reverse_answers)[: plan.answers], styles, strict=False))
    reversed_questions = [question for question in _distinct(reply.reverse_questions) if question not in forward]
    return made + [
        _example(fact, "reverse", (question, *answer), model)
        for question in reversed_questions[: plan.reverse]
        for answer in reversed_answers
    ]


def gated(fact: Fact, made: list[MadeExample], asked: Iterable[tuple[bool, str]] = ()) -> list[MadeExample]:
    """The examples, those that fail a gate pending with its code; `asked` are the questions that the fact has."""
    gates = Gates(fact, asked)
    looked_at = []
    for example in made:
        flags = gates.flags(example)
        looked_at.append(example.model_copy(update={"flags": flags, "status": "pending"}) if flags else example)
    return looked_at


def _distinct(texts: list[str]) -> list[str]:
    """Each text once; half a character, which a cut reply may hold, can be stored nowhere."""
    return list(dict.fromkeys(text.strip() for text in texts if text.strip() and is_storable(text)))


def _example(fact: Fact, kind: str, pair: tuple[str, str, AnswerStyle], model: str) -> MadeExample:
    question, answer, style = pair
    return MadeExample(
        fact_id=fact.id,
        kind="reverse" if kind == "reverse" else "paraphrase",
        answer_style=style,
        question=question,
        answer=answer,
        generator=model,
        prompt_version=WORDINGS,
    )
