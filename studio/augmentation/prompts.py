"""Words the requests to a model and reads its replies; it must not know HTTP, jobs or how examples are stored."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from studio.augmentation.plan import Plan
from studio.datasets.model import Fact
from training.contract import PROJECT_ROOT, Frozen

PROMPTS = PROJECT_ROOT / "assets" / "prompts"
WORDINGS, DOCUMENTS, TITLES, FIELDS = "augment.v2.ja", "documents.v1.ja", "titles.v1.ja", "fields.v1.ja"
# A good reply holds a few dozen; text that is nothing but brackets must not keep the job busy.
MOST_OBJECTS = 500
AGAIN = "JSON だけを、求めた形で返してください。ほかの文字は書かないでください。"


class Reply(Frozen):
    """What the model wrote about one fact, as the prompt asks for it."""

    questions: list[str]
    answer: str
    reverse_questions: list[str]
    reverse_answers: list[str]


class Pair(Frozen):
    """A new seed pair that the model wrote."""

    subject: str
    question: str
    answer: str


class Pairs(Frozen):
    """New seed pairs from one document or title."""

    pairs: list[Pair]


class Fields(Frozen):
    """What the model read of one fact: its subject, the work, and the terms of a right answer with alternatives."""

    subject: str
    spellings: list[str]
    tags: list[str]
    key_terms: list[list[str]]
    short_answer: bool | None


Written = Reply | Pairs | Fields


class FewShot(Frozen):
    """A fact whose examples a person has looked at: it shows the model what good ones are."""

    question: str
    answer: str
    reply: Reply


Form = TypeVar("Form", bound=Frozen)


class Task(Frozen):
    """One request that is paid for at most once; `key` names it by what shapes its reply."""

    key: str
    fact_id: int  # 0 where the reply will become new facts
    title: str  # the fact's question, or the title of the document
    prompt: str
    prompt_version: str

    @property
    def expects(self) -> type[Reply] | type[Pairs] | type[Fields]:
        """The form of its reply."""
        if self.prompt_version == FIELDS:
            return Fields
        return Reply if self.prompt_version == WORDINGS else Pairs


def wordings_task(fact: Fact, plan: Plan, asked: Sequence[str], few_shots: Sequence[FewShot] = ()) -> Task:
    """The request for all phrasings and answers of one fact; `asked` names the endpoint and the model.

    Few-shot examples are not part of the key: a fact that is paid for is not paid for again because a person has
    accepted another example meanwhile.
    """
    shaping = (WORDINGS, *asked, str(plan.forward), str(plan.reverse))
    if plan.shared_reverse == "ask_for_one":
        shaping += (plan.shared_reverse,)
    longer = "元の答えより詳しい、一文か二文の答えにしてください。"
    shorter = "元の答えの要点だけを述べる、短い一文にしてください。"
    text = template(WORDINGS).format(
        forward=plan.forward - 1,
        reverse=plan.reverse,
        answer_style=longer if fact.short_answer else shorter,
        few_shots="".join(_shown(shot) for shot in few_shots if shot.question != fact.question),
        notes=_notes(fact, plan),
        question=fact.question,
        seed_answer=fact.answer,
    )
    key = _key(*shaping, fact.question, fact.answer)
    return Task(key=key, fact_id=fact.id, title=fact.question, prompt=text, prompt_version=WORDINGS)


def fields_task(fact: Fact, asked: Sequence[str]) -> Task:
    """The request for what a fact says of itself."""
    text = template(FIELDS).format(question=fact.question, seed_answer=fact.answer)
    key = _key(FIELDS, *asked, fact.question, fact.answer)
    return Task(key=key, fact_id=fact.id, title=fact.question, prompt=text, prompt_version=FIELDS)


def document_task(title: str, text: str, number: int, asked: Sequence[str]) -> Task:
    """The request for `number` new seed pairs from a document, or a part of one."""
    prompt = template(DOCUMENTS).format(title=title, text=text, number=number)
    key = _key(DOCUMENTS, *asked, str(number), title, text)
    return Task(key=key, fact_id=0, title=title, prompt=prompt, prompt_version=DOCUMENTS)


def title_task(title: str, aspects: Sequence[str], asked: Sequence[str]) -> Task:
    """The request for a seed pair for each aspect of a title, out of what the model knows."""
    prompt = template(TITLES).format(title=title, aspects="\n".join(f"- {aspect}" for aspect in aspects))
    key = _key(TITLES, *asked, title, *aspects)
    return Task(key=key, fact_id=0, title=title, prompt=prompt, prompt_version=TITLES)


def messages(task: Task, refused: str | None = None) -> list[dict[str, str]]:
    """What is sent; `refused` is a reply that could not be read and is asked for once more."""
    first = {"role": "user", "content": task.prompt}
    if refused is None:
        return [first]
    earlier = [{"role": "assistant", "content": refused}] if refused.strip() else []
    return [first, *earlier, {"role": "user", "content": AGAIN}]


@lru_cache
def schema(form: type[Frozen]) -> dict[str, Any]:
    """The form of a reply as a strict JSON schema."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": form.model_json_schema()},
    }


def parse(content: str, form: type[Form]) -> Form | None:
    """The reply in a text, also where thoughts, prose or a code fence surround its JSON; None where there is none."""
    decoder = json.JSONDecoder()
    # The last object counts: a model that thinks aloud drafts others before it.
    for start in reversed([match.start() for match in re.finditer(r"\{", content)][-MOST_OBJECTS:]):
        try:
            found, _ = decoder.raw_decode(content, start)
            reply = form.model_validate(_lenient(found, form))
        except (ValueError, AttributeError, RecursionError):
            continue
        if _says_something(reply):
            return reply
    return None


@lru_cache
def template(version: str) -> str:
    """A prompt file of the project."""
    return (PROMPTS / f"{version}.txt").read_text(encoding="utf-8")


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _notes(fact: Fact, plan: Plan) -> str:
    """What a person has settled about this fact, a line each."""
    lines = []
    if fact.subject:
        lines.append("主語: " + " / ".join((fact.subject, *fact.spellings)))
    if fact.key_terms:
        lines.append("答えに必ず残す語: " + "、".join(" / ".join(term) for term in fact.key_terms))
    if plan.shared_reverse == "ask_for_one":
        lines.append(
            "同じ答えになる事実がほかにもあります。reverse_questions は「…を一つ挙げてください。」のように、"
            "当てはまるものの一つを尋ねる形にしてください。"
        )
    return "".join(f"{line}\n" for line in lines)


def _shown(shot: FewShot) -> str:
    reply = shot.reply.model_dump_json()
    return f"\n良い例\n質問: {shot.question}\n答え: {shot.answer}\n出力: {reply}\n"


# What is no list when it is empty.
_LEFT_OUT: dict[str, object] = {"answer": "", "subject": "", "short_answer": None}


def _lenient(found: object, form: type[Frozen]) -> object:
    """A reply without fields that nobody asked for, and with those that it left out or null as empty."""
    if not isinstance(found, dict) or not set(found) & set(form.model_fields):
        return None
    said = {name: value for name, value in found.items() if value is not None}
    reply = {name: said.get(name, _LEFT_OUT.get(name, [])) for name in form.model_fields}
    if isinstance(reply.get("pairs"), list):
        reply["pairs"] = [{name: pair.get(name, "") for name in Pair.model_fields} for pair in reply["pairs"]]
    if isinstance(reply.get("key_terms"), list):  # a term without alternatives comes as it is
        reply["key_terms"] = [[term] if isinstance(term, str) else term for term in reply["key_terms"]]
    return reply


def _says_something(reply: Frozen) -> bool:
    if isinstance(reply, Pairs):
        return bool(reply.pairs)
    if isinstance(reply, Fields):
        return bool(reply.subject or reply.key_terms)
    return isinstance(reply, Reply) and bool(reply.questions or reply.reverse_questions or reply.answer)
