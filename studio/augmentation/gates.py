"""Says which rules of good data a made example breaks; it must not know who made it or where it is kept.

A flagged example is kept for a person to decide. The gates compare texts without width, quotes and punctuation.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from studio.augmentation import rules
from studio.augmentation.reading import folded
from studio.datasets.model import Fact, MadeExample

Gate = Literal[
    "not_japanese", "no_subject", "no_key_term", "gives_away", "near_copy", "no_question", "no_answer", "length"
]

SHORTEST_QUESTION = 6
LONGEST_QUESTION = 120
LONGEST_ANSWER = 320
TIMES_THE_SEED = 4
# Share of the letters beside names that must be Japanese.
JAPANESE_SHARE = 0.6
# Pairs of characters that two questions have in common, of all that they have.
NEAR_COPY = 0.93

_ASKS = re.compile(
    r"(?:[?？]|(?:です|ます|ました|でしょう|だろう|なの|の|た|る)か"
    r"|(?:ください|下さい|教えて|述べよ|答えよ|挙げよ|せよ|なさい|ほしい|欲しい|ほしいです|お願いします))[。．!！]?$"
)
_ASKED_FOR = re.compile(
    r"誰|だれ|どなた|何|なに|なん|どこ|どちら|どの|どれ|いつ|なぜ|どう|どんな|どのよう|いくつ|いくら|どれ"
    r"|教えて|答え|述べ|挙げ|あげて|説明|なさい|聞か|知り|とは|は[?？]$"
)
_YES_NO_ONLY = re.compile(r"(?:本当|正しい|合っています|あっています)(?:です)?か[?？]?$")
_REFUSES = re.compile(
    r"申し訳(?:ありません|ございません)|(?:お答え|回答)(?:は)?(?:でき|いたしかね)|AI(?:アシスタント|言語モデル|として)"
    r"|(?:分か|わか)りません(?!でした)|存じません|情報(?:が|は)(?:ありません|見つかりません)|不明です"
)
_ASKS_BACK = re.compile(r"(?:[?？]|(?:です|ます|でしょう)か[。?？]?)$")
_BROKEN = re.compile(r"<\|[^|]*\|>|\ufffd|```|^(?:質問|問|答え|回答|Q|A)[0-9０-９]*[:：.．]|\n")
_JAPANESE = re.compile(r"[ぁ-んァ-ヶー一-鿿々〆]")
_KANA = re.compile(r"[ぁ-んァ-ヶ]")
_LETTER = re.compile(r"[^\W\d_]")
# What may differ between two phrasings without making them two: politeness and fillers.
_ORNAMENT = re.compile(
    r"(?:なの|なん)?(?:ですか|でしょうか|だろうか|ですかね|か)$|^(?:ちなみに|では|さて|ところで|ねえ|あの|すみません)"
)
_WISH = re.compile(r"(?<=て)(?:ください|下さい|くれますか|もらえますか|いただけますか|ほしいです)$")
_NAME_PARTS = re.compile(r"「([^」]+)」|『([^』]+)』|(?:に登場する|における|に出てくる|の|、)")
_WORDS = re.compile(r"[ァ-ヶー]{3,}|[一-鿿々]{2,}|[A-Za-z][A-Za-z0-9]+|[0-9]+")
# Words of questions that name nothing by themselves.
_GENERIC = re.compile(
    r"主人公|作品|物語|名前|本名|理由|原因|違い|特徴|性格|意味|役割|内容|目的|関係|外見|人物|登場|説明|場所|時期|存在|位置"
    r"|キャラクター|アニメ|シリーズ|最後|最初|舞台|作者|監督|何者|方法"
)


class Gates:
    """The gates of one fact. They remember its phrasings, so examples are looked at in the order of making."""

    def __init__(self, fact: Fact, asked: Iterable[tuple[bool, str]] = ()) -> None:
        """`asked` are the fact's questions that are there already, each with whether it is a reversed one."""
        self._fact = fact
        reading = _read(fact)
        self._names, self._whole_names = _names(fact, reading)
        self._settled = _settled_terms(fact, reading)
        self._terms = self._settled or _guessed_terms(fact)
        self._written = [*self._names, *(written for term in self._terms for written in term)]
        # Each question with the pairs of characters that are left of it without names and ornament.
        self._phrasings: dict[bool, dict[str, frozenset[str]]] = {False: {}, True: {}}
        self._questions: dict[tuple[bool, str], tuple[Gate, ...]] = {}
        self._answers: dict[tuple[bool, str], tuple[Gate, ...]] = {}
        for reversed_, question in ((False, fact.question), *asked):
            self._phrasings[reversed_].setdefault(question, self._core(folded(question)))

    def flags(self, made: MadeExample) -> tuple[Gate, ...]:
        """The gates that an example fails; none is good."""
        asked = (made.kind == "reverse", made.question)
        answered = (made.kind == "reverse", made.answer)
        if asked not in self._questions:
            self._questions[asked] = tuple(self.of_question(*asked))
        if answered not in self._answers:
            self._answers[answered] = tuple(self.of_answer(*answered))
        return tuple(dict.fromkeys(self._questions[asked] + self._answers[answered]))

    def of_question(self, reversed_: bool, question: str) -> Iterator[Gate]:
        """The gates that a question fails."""
        seed = self._fact.question
        if not SHORTEST_QUESTION <= len(question) <= max(LONGEST_QUESTION, TIMES_THE_SEED * len(seed)):
            yield "length"
        text = folded(question)
        rest = self._beside_names(text)
        if not _is_japanese(rest) or not _KANA.search(rest):
            yield "not_japanese"
        if not _is_question(question):
            yield "no_question"
        if reversed_ and not any(_holds(text, term) for term in self._terms):
            yield "no_key_term"
        if not reversed_ and not any(name in text for name in self._names):
            yield "no_subject"
        if self._tells_subject(text) if reversed_ else self._tells_answer(text):
            yield "gives_away"
        if self._is_near_copy(reversed_, question, text):
            yield "near_copy"

    def of_answer(self, reversed_: bool, answer: str) -> Iterator[Gate]:
        """The gates that an answer fails."""
        if len(answer) > max(LONGEST_ANSWER, TIMES_THE_SEED * len(self._fact.answer)):
            yield "length"
        text = folded(answer)
        if not _is_japanese(self._beside_names(text)):
            yield "not_japanese"
        if _REFUSES.search(answer) or _ASKS_BACK.search(answer) or _BROKEN.search(answer):
            yield "no_answer"
        if reversed_:
            if not any(name in text for name in self._names):
                yield "no_subject"
        elif not self._keeps_terms(text):
            yield "no_key_term"

    def _keeps_terms(self, text: str) -> bool:
        """Every confirmed term; of those that were only guessed from an explanation, some."""
        held = [_holds(text, term) for term in self._terms]
        return all(held) if self._settled else not held or any(held)

    def _tells_answer(self, text: str) -> bool:
        """Whether a forward question names what it asks for, which the seed question does not."""
        seed = folded(self._fact.question)
        return bool(self._settled) and all(_holds(text, term) and not _holds(seed, term) for term in self._settled)

    def _tells_subject(self, text: str) -> bool:
        for term in self._terms:
            for written in term:
                text = text.replace(written, "")
        return any(name in text for name in self._whole_names)

    def _beside_names(self, text: str) -> str:
        for name in self._written:
            text = text.replace(name, "")
        return text

    def _is_near_copy(self, reversed_: bool, question: str, text: str) -> bool:
        known, core = self._phrasings[reversed_], self._core(text)
        if question in known:
            return False
        near = any(_alike(core, other) for other in known.values())
        known[question] = core
        return near

    def _core(self, text: str) -> frozenset[str]:
        """The pairs of characters that tell a folded question from other phrasings."""
        for name in self._written:
            text = text.replace(name, "*")
        core = f"^{_ORNAMENT.sub('', _WISH.sub('', text))}$"
        return frozenset(core[at : at + 2] for at in range(len(core) - 1))


def _is_japanese(text: str) -> bool:
    """Whether what a text says beside names is Japanese; one that says nothing else is."""
    letters = len(_LETTER.findall(text))
    if letters >= 8 and not _KANA.search(text):
        return False  # Chinese shares the characters
    return len(_JAPANESE.findall(text)) >= JAPANESE_SHARE * letters


def seed_flags(subject: str, question: str, answer: str) -> tuple[Gate, ...]:
    """The gates that a new fact's own question and answer fail."""
    fact = Fact(id=0, question=question, answer=answer, subject=subject, short_answer=True)
    gates = Gates(fact)
    found = (*gates.of_question(False, question), *gates.of_answer(False, answer))
    # The seed is its own phrasing, and nothing of it can be lost.
    return tuple(dict.fromkeys(flag for flag in found if flag not in {"near_copy", "no_key_term"}))


def _is_question(question: str) -> bool:
    text = question.strip()
    return bool(
        _ASKS.search(text) and _ASKED_FOR.search(text) and not _BROKEN.search(text) and not _YES_NO_ONLY.search(text)
    )


def _alike(pairs: frozenset[str], others: frozenset[str]) -> bool:
    whole = len(pairs) + len(others)
    if 2 * min(len(pairs), len(others)) < NEAR_COPY * whole:
        return False  # most are told apart by their length alone
    return 2 * len(pairs & others) >= NEAR_COPY * whole


def _read(fact: Fact) -> rules.Reading | None:
    try:
        return rules.read(fact)
    except rules.NeedsModel:
        return None


def _names(fact: Fact, reading: rules.Reading | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How the subject may be written, folded, and of these the names that tell it from every other."""
    if fact.subject:
        whole = tuple(folded(name) for name in (fact.subject, *fact.spellings) if folded(name))
        return whole, whole
    if reading is None:
        return _guessed_names(fact.question), ()
    subject = reading.question.subject
    parts = [
        folded(part) for part in _NAME_PARTS.split(subject) if part and len(part) > 1 and not _GENERIC.fullmatch(part)
    ]
    return (folded(subject), *parts), (parts[-1] if parts else folded(subject),)


def _guessed_names(question: str) -> tuple[str, ...]:
    """Words that name what an open question is about."""
    quoted = re.findall(r"[「『]([^」』]{2,})[」』]", question)
    words = [word for word in _WORDS.findall(question) if not _GENERIC.fullmatch(word)]
    return tuple(folded(word) for word in (*quoted, *words)) or (folded(question),)


def _settled_terms(fact: Fact, reading: rules.Reading | None) -> tuple[tuple[str, ...], ...]:
    """The fact's key terms, or the one value that the rules read; none where an answer explains."""
    if fact.key_terms:
        return tuple(tuple(folded(written) for written in term) for term in fact.key_terms)
    return ((folded(reading.value.value),),) if reading else ()


def _guessed_terms(fact: Fact) -> tuple[tuple[str, ...], ...]:
    asked = folded(fact.question)
    words = [folded(word) for word in _WORDS.findall(fact.answer)]
    return tuple((word,) for word in dict.fromkeys(words) if word not in asked)


def _holds(text: str, term: tuple[str, ...]) -> bool:
    return any(written in text for written in term)
