"""Finds what stands in a dataset twice, and questions with two answers; it must not delete or judge: a person does."""

from collections.abc import Iterable, Iterator
from itertools import combinations, product

from studio.datasets.checks.comparing import AGREES, agreement, asks_nearly_the_same, core, holds, plain, topic
from studio.datasets.checks.corpus import Corpus, Example
from studio.datasets.checks.found import Code, Found, components
from studio.datasets.checks.similarity import Compared, near_pairs

# On one topic only particles and endings differ, which make up half of a short question.
ALIKE = 0.3
ALIKE_BY_WORDS = 0.7
# Variants of one fact's answer may be worded quite differently: they contradict each other only where they share next
# to nothing.
AGREES_WITHIN_FACT = 0.1
# A question that a thousand facts ask is one finding; so many of its answers are compared.
MOST_COMPARED = 40


def doubles(corpus: Corpus) -> Iterator[Found]:
    """Exact duplicates, near duplicates (the same answer) and conflicts (different answers)."""
    finder = _Doubles(corpus)
    yield from finder.duplicates()
    yield from finder.near_duplicates()
    yield from finder.conflicts()


class _Doubles:
    """Questions are numbered by their bare text here: brackets and question marks make no other question."""

    def __init__(self, corpus: Corpus) -> None:
        self.bare = corpus.texts.bare
        self.facts = corpus.facts
        self.questions: list[str] = []
        # Per question, the examples of each answer.
        self.answers: list[dict[str, list[Example]]] = []
        numbers: dict[str, int] = {}
        for example in corpus.examples:
            question, answer = self.bare[example.question], self.bare[example.answer]
            # What holds no letter at all is another check's.
            if question and answer:
                number = numbers.setdefault(question, len(numbers))
                if number == len(self.questions):
                    self.questions.append(question)
                    self.answers.append({})
                self.answers[number].setdefault(answer, []).append(example)
        self.near = self._near()

    def _near(self) -> dict[tuple[int, int], float]:
        """Pairs of questions that may be near: of several facts on one topic or with one answer, or of one core."""
        topics = [topic(question) for question in self.questions]
        shared = _of_several_facts(zip(topics, self.answers, strict=True))
        by_topic = _numbered(
            (number, about if about in shared else core(question))
            for number, (about, question) in enumerate(zip(topics, self.questions, strict=True))
        )
        told = _of_several_facts(
            (answer, {answer: examples}) for answers in self.answers for answer, examples in answers.items()
        )
        by_answer = _numbered(
            (number, answer) for number, answers in enumerate(self.answers) for answer in answers if answer in told
        )
        asked = [plain(question) for question in self.questions]
        return near_pairs(asked, Compared(by_topic, ALIKE), Compared(by_answer, ALIKE_BY_WORDS))

    def duplicates(self) -> Iterator[Found]:
        """Examples whose question and answer are the same but for width, case, brackets and marks."""
        for answers in self.answers:
            for same in answers.values():
                if len(same) > 1:
                    yield _found("duplicate", same)

    def near_duplicates(self) -> Iterator[Found]:
        """Examples with the same answer whose questions differ in nothing that matters."""
        examples: dict[int, Example] = {}
        pairs = []
        for one, two in self._near_examples():
            examples |= {one.id: one, two.id: two}
            pairs.append((one.id, two.id))
        for group in components(pairs):
            yield _found("near_duplicate", (examples[example_id] for example_id in group))

    def _near_examples(self) -> Iterator[tuple[Example, Example]]:
        for (first, second), similarity in self.near.items():
            for (answer, ones), (other, twos) in product(self.answers[first].items(), self.answers[second].items()):
                if self._too_near(ones[0], twos[0], similarity) and (answer == other or self._agree(ones[0], twos[0])):
                    yield ones[0], twos[0]
        for answers in self.answers:
            for ones, twos in combinations(list(answers.values())[:MOST_COMPARED], 2):
                if ones[0].fact_id != twos[0].fact_id and self._agree(ones[0], twos[0]):
                    yield ones[0], twos[0]

    def _too_near(self, one: Example, two: Example, similarity: float) -> bool:
        """Whether two examples say one thing twice; the phrasings of one fact are alike on purpose."""
        if one.reverse != two.reverse:
            return False
        question, other = self.bare[one.question], self.bare[two.question]
        same_answer = self.bare[one.answer] == self.bare[two.answer]
        if one.fact_id == two.fact_id:
            return same_answer and core(question) == core(other)
        if topic(question) == topic(other):
            return True
        return same_answer and similarity >= ALIKE_BY_WORDS and asks_nearly_the_same(question, other)

    def conflicts(self) -> Iterator[Found]:
        """Questions with answers that contradict each other: one example of each answer."""
        same = [pair for pair in self.near if core(self.questions[pair[0]]) == core(self.questions[pair[1]])]
        joined = list(components(same))
        alone = sorted(set(range(len(self.questions))).difference(*joined))
        for group in [*joined, *([number] for number in alone)]:
            told = {
                (answer, examples[0].fact_id): examples[0]
                for number in group
                for answer, examples in self.answers[number].items()
            }
            if len(told) > 1 and (members := self._contradicting(list(told.values())[:MOST_COMPARED])):
                yield _found("conflict", members)

    def _contradicting(self, told: list[Example]) -> list[Example]:
        """One example of each group of agreeing answers; empty where all agree."""
        agreeing = [(at, at) for at in range(len(told))]
        agreeing += [pair for pair in combinations(range(len(told)), 2) if self._agree(told[pair[0]], told[pair[1]])]
        groups = list(components(agreeing))
        return [told[group[0]] for group in groups] if len(groups) > 1 else []

    def _agree(self, one: Example, two: Example) -> bool:
        """Whether two answers to one question say the same, as far as characters tell."""
        answer, other = self.bare[one.answer], self.bare[two.answer]
        terms = [self.facts[example.fact_id].key_terms for example in (one, two)]
        if one.fact_id == two.fact_id:
            # Where the fact has key terms, an answer that says something else has lost them: another check's.
            return bool(terms[0]) or self._share(one, two) >= AGREES_WITHIN_FACT
        if any(wanted and holds(answer, wanted) and holds(other, wanted) for wanted in terms):
            return True
        return self._share(one, two) >= AGREES

    def _share(self, one: Example, two: Example) -> float:
        asked = self.bare[one.question] + self.bare[two.question]
        return agreement(self.bare[one.answer], self.bare[two.answer], asked)


def _of_several_facts(told: Iterable[tuple[str, dict[str, list[Example]]]]) -> set[str]:
    """The texts that stand in more than one fact. Most stand in one, and need not be compared."""
    facts: dict[str, int] = {}
    several = set()
    for text, answers in told:
        for examples in answers.values():
            if any(facts.setdefault(text, example.fact_id) != example.fact_id for example in examples):
                several.add(text)
    return several


def _numbered(places: Iterable[tuple[int, str]]) -> list[tuple[int, int]]:
    """Places with a number for each key."""
    keys: dict[str, int] = {}
    return [(number, keys.setdefault(key, len(keys))) for number, key in places]


def _found(code: Code, examples: Iterable[Example]) -> Found:
    return Found(code, tuple((example.id, example.fact_id) for example in examples))
