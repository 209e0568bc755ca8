"""Proposes what a fact says of itself beside its pair: subject, spellings, tags, key terms, short or an explanation.

By rules alone, from the fact's own texts and the other facts of its dataset. It must not know tables or pages: what a
person has said is never overruled, and an honest nothing is better than a wrong word.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from studio.augmentation.reading import Question, folded, read_question, split_context
from studio.augmentation.values import DATE, read_answer
from studio.augmentation.wording import wordings
from studio.datasets.model import Fact
from studio.datasets.text import fold, is_short_answer
from training.contract import Frozen

QUOTED = re.compile(r"「([^「」]{1,24})」|『([^『』]{1,24})』")
NUMBER = re.compile(rf"{DATE}|[0-9０-９][0-9０-９,.]*(?:[一-鿿%％]|[a-zA-Zァ-ヺー]{{1,4}})?")
NAMED_READING = re.compile(r"[一-鿿々ヶァ-ヺー]{2,12}[（(][ぁ-ゖ・ 　]{2,20}[）)]")
READING = re.compile(r"^[（(](?P<reading>[ぁ-ゖァ-ヺー・ 　]+)[）)]")
# The name at the end of a sentence: 「…担任教師になったレベッカ宮本です」.
LAST_NAME = re.compile(
    r"(?<![一-鿿々ヶァ-ヺー・])(?P<name>[一-鿿々ヶァ-ヺー・]{2,20})(?:[（(][^）)]*[）)])?(?:です|だ|である)$"
)
SENTENCE = re.compile(r"(?:です|ます|した|だ|である|ません)[。．.]?$")
SENTENCE_END = re.compile(r"(?<=です|ます|した|ある|せん)。")
# Where the head of a question may end: a work's name stands before it.
HEAD_END = re.compile(r"の|で、?|は、?|において|における|に登場する")
DEMONSTRATIVE = re.compile(r"^(?:この|その|あの|これ|それ|彼|本作|同作|物語)")
LONGEST_HEAD, LONGEST_SUBJECT, LONGEST_BARE = 30, 30, 24
MOST_TERMS = 3
# So many facts that begin alike are facts of one work.
FACTS_OF_A_WORK = 2


class Proposal(Frozen):
    """What the rules read out of a fact; empty where they read nothing."""

    subject: str = ""
    spellings: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    key_terms: tuple[tuple[str, ...], ...] = ()
    short_answer: bool = True


def works_of(facts: Iterable[Fact]) -> frozenset[str]:
    """The names of works among the beginnings of the seed questions, folded.

    Several questions begin with one, and an answer repeats it or a question asks for what only works have.
    """
    beginning: Counter[str] = Counter()
    told: set[str] = set()
    for fact in facts:
        heads = {folded(head) for head in _heads(fact.question)}
        beginning.update(heads)
        question = read_question(fact.question)
        of_work = folded(question.subject) if question and _asks_of_work(question) else ""
        answer = folded(fact.answer)
        told |= {head for head in heads if head in answer or head == of_work}
    return frozenset(head for head in told if beginning[head] >= FACTS_OF_A_WORK)


def propose_fields(fact: Fact, texts: Sequence[str] = (), works: frozenset[str] = frozenset()) -> Proposal:
    """What a fact says of itself, read from its pair; `texts` are all questions and answers of its examples."""
    question = read_question(fact.question)
    subject = _subject(fact, question)
    return Proposal(
        subject=subject,
        spellings=_spellings(subject, [fact.question, fact.answer, *texts]),
        tags=_tags(fact.question, question, works),
        key_terms=_key_terms(fact, question),
        short_answer=is_short_answer(fact.answer),
    )


def _subject(fact: Fact, question: Question | None) -> str:
    """What a usual question or 「…とは」 asks about, or a name that both question and answer hold."""
    if question is not None and len(question.subject) <= LONGEST_SUBJECT:
        return _bare(question.subject)
    if asked := re.search(r"[「『](?P<term>[^「」『』]+)[」』]とは", fact.question):
        return asked["term"]
    if not SENTENCE.search(fact.answer):
        return ""  # a bare answer names no subject
    quoted = [term for match in QUOTED.findall(fact.question) for term in match if term]
    both = next((term for term in quoted if term in fact.answer), "")
    return both or _said_twice(split_context(fact.question)[1], fact.answer)


def _said_twice(question: str, answer: str) -> str:
    """The longest name that stands in a question and its answer."""
    match = SequenceMatcher(None, question, answer, autojunk=False).find_longest_match()
    text = question[match.a : match.a + match.size]
    text = _bare(re.sub(r"(?:[はがをのでにと、。「『]|という|として|における|に登場する)+$", "", text))
    is_name = re.match(r"[一-鿿ァ-ヺa-zA-Z0-9]", text) and not re.search(r"[、。]|[たるすい]$", text)
    return text if is_name and 2 <= len(text) <= LONGEST_SUBJECT else ""


def _spellings(subject: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Other ways in which the texts write the subject: width, spaces and marks differ, not the letters."""
    wanted = folded(subject)
    if len(wanted) < 2:
        return ()
    letters = [re.escape(letter) for letter in wanted]
    pattern = re.compile(r"[\s・!！?？]*".join(letters) + r"[!！?？]*", re.IGNORECASE)
    found = Counter(match.group() for text in texts for match in pattern.finditer(text))
    # NFKC may change a text's length, so texts in other widths are looked for as they are read.
    others = [spelling for spelling, _ in found.most_common() if spelling != subject and folded(spelling) == wanted]
    return tuple(dict.fromkeys(others))[:MOST_TERMS]


def _tags(question: str, read: Question | None, works: frozenset[str]) -> tuple[str, ...]:
    """The work that a fact is about: the longest beginning that is one, or the subject of what only works have."""
    shared = [head for head in _heads(question) if folded(head) in works]
    if shared:
        return (_bare(max(shared, key=len)),)
    return (_bare(read.subject),) if read is not None and _asks_of_work(read) else ()


def _asks_of_work(question: Question) -> bool:
    return wordings().families[question.family].subject == "work" and "の" not in _bare(question.subject)[-6:]


def _heads(question: str) -> list[str]:
    """The beginnings of a question that may name what it is about."""
    heads = [question[: match.start()] for match in HEAD_END.finditer(question, 1, LONGEST_HEAD)]
    return [head for head in heads if _may_be_name(head)]


def _may_be_name(head: str) -> bool:
    whole = head.count("「") == head.count("」") and head.count("『") == head.count("』")
    wordless = re.fullmatch(rf"{NUMBER.pattern}|[ぁ-ゖ]{{1,3}}", head)
    return whole and not wordless and len(_bare(head)) >= 2 and not DEMONSTRATIVE.match(head)


def _key_terms(fact: Fact, question: Question | None) -> tuple[tuple[str, ...], ...]:
    """The value where it can be told from the rest; else what the answer quotes, names or counts and nobody asked."""
    first = SENTENCE_END.split(fact.answer.strip())[0].rstrip("。．. ")
    if question is not None:
        value = read_answer(first, question)
        last = LAST_NAME.search(first)
        if value is not None or last:
            return (_alternatives(_bare(value.value if value else last["name"] if last else ""), fact.answer),)
    if (
        re.search(r"\w", first)
        and len(first) <= LONGEST_BARE
        and not re.search(r"(?:です|ます|だ|である|た)$|[、。]", first)
    ):
        return (_alternatives(_bare(first), fact.answer),)
    asked = fold(fact.question)
    readings = [match.group() for match in NAMED_READING.finditer(fact.answer)]
    quoted = [term for match in QUOTED.findall(fact.answer) for term in match if term]
    named = [*(re.split(r"[（(]", name)[0] for name in readings), *quoted, *NUMBER.findall(fact.answer)]
    told = [term for term in dict.fromkeys(named) if fold(term) not in asked and len(term) > 1]
    return tuple(_alternatives(term, fact.answer) for term in told[:MOST_TERMS])


def _alternatives(term: str, answer: str) -> tuple[str, ...]:
    """A term with its reading where the answer gives one: 竈門炭治郎（かまど たんじろう）."""
    _, found, behind = answer.partition(term)
    reading = READING.match(behind.lstrip("」』")) if found else None
    return (term, re.sub(r"[\s・]", "", reading["reading"])) if reading else (term,)


def _bare(text: str) -> str:
    """A name without the quotes that stand around all of it."""
    text = text.strip(" 　、")
    return text[1:-1] if re.fullmatch(r"「[^「」]*」|『[^『』]*』", text) else text
