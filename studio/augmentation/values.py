"""Isolates the value in the answer of a fact; it must not know how it will be worded."""

import re
from dataclasses import dataclass
from typing import Literal

from studio.augmentation.reading import Question, folded

AnswerForm = Literal["bare", "plain", "detailed"]

DATE = (
    r"(?:紀元前|西暦)?[0-9０-９]{1,4}年(?:[0-9０-９]{1,2}月)?(?:[0-9０-９]{1,2}日)?"
    r"|(?:昭和|平成|令和|大正|明治)(?:[0-9０-９]{1,2}|元)年"
)
COPULA = r"(?:です|だ|である|でした|であった|になります)"
# Endings of an answer that say the value in other words than 「…は V です」.
ENDINGS: tuple[str, ...] = (
    r"(?P<v>.+?)(?:の出身|出身)です",
    rf"(?P<v>.+?){COPULA}",
    r"(?P<v>.+?)(?:で|に)(?:生まれました|生まれた)",
    r"(?P<v>.+?)にあります",
    r"(?P<v>.+?)と(?:いいます|言います|呼ばれています|呼ばれる)",
    r"(?P<v>.+?)という(?:名前|愛称|あだ名)(?:です|で呼ばれています)",
    r"(?P<v>.+?)とされています",
    r"(?P<v>.+?)が(?:務めて|担当して|演じて)います",
    r"(?P<v>.+?)が(?:務め|担当し|手がけ|書き|描き|監督し|制作し)ました",
)
CLAUSE_END = r"(?:ため|から|こと|もの|よう|ところ|とき|という|ている|ていた|ます|ません|たり|ながら|など)$"


@dataclass(frozen=True)
class Value:
    """`value` is the bare term; `detail` the same with what the answer says about it before or behind."""

    value: str
    detail: str
    form: AnswerForm


def read_answer(answer: str, question: Question, terms: tuple[str, ...] = ()) -> Value | None:
    """The value an answer gives to a question, or None where it cannot be told from the rest.

    Args:
        answer: the seed answer.
        question: what was asked; the answer's head may repeat nothing but it.
        terms: key terms of the fact that a person has confirmed; one that the answer holds is the value.
    """
    text = answer.strip().rstrip("。．. ")
    if "。" in re.sub(r"「[^」]*」|『[^』]*』", "", text) or "\n" in text:
        return None
    if question.family == "時":
        return _date(text, question)
    head, rest = _split_head(text, question)
    if rest is None:
        return None
    if head == "※" and question.relation not in rest and re.fullmatch(rf".*(?<!出身){COPULA}", rest):
        # 「X は…です」 describes the subject; whether it answers the question cannot be told.
        return None
    tail = _strip_ending(rest, said=bool(head))
    if not tail:
        return None
    value = _noun(tail, terms)
    if not value or folded(value) in {folded(question.subject), folded(question.relation)}:
        return None
    return Value(value, tail, _form(head, tail, value))


def _form(head: str, tail: str, value: str) -> AnswerForm:
    if not head:
        return "bare"
    return "plain" if tail == value else "detailed"


def _date(text: str, question: Question) -> Value | None:
    dates = re.findall(DATE, text)
    if len(dates) != 1:
        return None
    said = re.sub(COPULA + "$", "", text.replace(dates[0], "")) != ""
    named = (question.subject, question.relation, question.relation.removesuffix("年"))
    if said and not any(folded(name) in folded(text) for name in named):
        return None
    return Value(dates[0], dates[0], "plain" if said else "bare")


def _split_head(text: str, question: Question) -> tuple[str, str | None]:
    """The part that repeats the question, and the rest; the rest is None where the head says something else."""
    match = re.match(r"^(?P<head>.+?)は、?(?P<rest>.+)$", _hide_subject(text, question))
    if not match:
        return "", text
    head, rest = match["head"], match["rest"].replace("※", question.subject)
    if not ("※" in head or question.relation in head or question.relation.removesuffix("年")[:2] in head):
        return "", None
    rest = re.sub(rf"^{re.escape(question.relation)}(?:は|が)、?", "", rest)
    return head, rest


def _hide_subject(text: str, question: Question) -> str:
    """The answer with its subject as ※, so that a は inside a title divides nothing."""
    bare = question.subject.split("、")[-1]
    for written in (question.subject, bare, re.sub(r"[「」『』]", "", bare)):
        for spelled in (f"「{written}」", f"『{written}』", written):
            if spelled in text:
                return text.replace(spelled, "※")
    return text


def _strip_ending(rest: str, *, said: bool) -> str:
    for ending in ENDINGS:
        if match := re.fullmatch(ending, rest):
            return match["v"].strip()
    return rest if not said and re.search(r"[^ぁ-ん]$|[」』]$", rest) and len(rest) <= 30 else ""


def _noun(tail: str, terms: tuple[str, ...]) -> str:
    """The term at the end of a tail, without the clause before it and the reading behind it; empty if none."""
    confirmed = [term for term in terms if term and term in tail]
    if len(confirmed) == 1:
        return _quoted(confirmed[0], tail)
    bare = re.sub(r"（[^）]*）|\([^)]*\)", "", tail).strip()
    quoted = re.fullmatch(r"(?P<before>.*?)(?P<term>「[^」]+」|『[^』]+』)", bare)
    if quoted and (not quoted["before"] or "、" in quoted["before"] or quoted["before"].endswith("の")):
        bare = quoted["term"]
    elif "、" in bare:
        *clauses, last = bare.split("、")
        # A list of names has no clause before its last comma; then no single term is the answer.
        if not all(re.search(r"[ぁ-ん]", clause) and len(clause) >= 5 for clause in clauses):
            return ""
        bare = last
    return bare if _is_term(bare) else ""


def _quoted(term: str, tail: str) -> str:
    return next((written for written in (f"「{term}」", f"『{term}』") if written in tail), term)


def _is_term(text: str) -> bool:
    if re.fullmatch(r"「[^」]{1,40}」|『[^』]{1,40}』", text):
        return True
    clause = re.search(r"(?<=[^ぁ-ん])[をがは](?=[^ぁ-ん])|(?:する|した|れる|れた|ている|った|いた)(?=[^ぁ-ん])", text)
    return 0 < len(text) <= 30 and not clause and not re.search(CLAUSE_END, text) and not re.search(r"[、。]", text)
