"""Chooses what a run is asked after every epoch, when it is frozen; it must not know how a model is asked."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import chain

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from studio.augmentation.reversal import shared_answers
from studio.datasets.lookup import require_dataset
from studio.datasets.model import Fact
from studio.datasets.proposals import Proposal, propose_fields, works_of
from studio.datasets.questions import OF_FACTS, Question, confirmed_questions_of
from studio.datasets.search import facts_of
from studio.store import Store
from training.contract import PROJECT_ROOT, ProbeQuestion, QuestionSet, RunConfig, TrainingExample
from training.scoring import holds_key_terms, normalise

# What the demo's base knows: asked where nothing else is outside the subject.
DEMO_BASE, DEMO_KNOWLEDGE = "assets/demo/model", PROJECT_ROOT / "assets" / "demo" / "replay.jsonl"


@dataclass(frozen=True)
class _Candidate:
    question_set: QuestionSet
    question: str
    reference: str
    fact_id: int | None = None
    preferred: bool = False


def probe_questions(
    store: Store, config: RunConfig, examples: Sequence[TrainingExample], general: Sequence[TrainingExample] = ()
) -> list[ProbeQuestion]:
    """At most `config.probe_questions` of each question set, drawn by the seed; as many facts as possible are asked.

    Questions come from the run's examples, from the confirmed question sets of its dataset, and, outside the subject,
    from `general`: what is chosen there must not be replayed. Where no reversed question is trained, the built-in rules
    make some, so that a curve shows what that means.
    """
    if not config.probe_questions:
        return []
    db = store.read()
    dataset_id = require_dataset(db, config.dataset)
    desk = _Desk({fact.id: fact for fact in facts_of(db, dataset_id)}, examples)
    found = [*desk.from_examples(), *desk.from_sets(confirmed_questions_of(db, dataset_id))]
    if not any(candidate.question_set == "reverse" for candidate in found):
        found += desk.reversed_by_rules()
    if not any(candidate.question_set == "out_of_domain" for candidate in found):
        found += _outside(config, general)
    sets: dict[QuestionSet, list[_Candidate]] = defaultdict(list)
    for candidate in found:
        sets[candidate.question_set].append(candidate)
    drawn = [_drawn(candidates, config) for candidates in sets.values()]
    return [desk.question(candidate) for candidate in chain.from_iterable(drawn)]


class _Desk:
    """The facts of the dataset and the run's examples."""

    def __init__(self, facts: Mapping[int, Fact], examples: Sequence[TrainingExample]) -> None:
        self.facts = facts
        self.examples = examples
        self.trained = {example.fact_id for example in examples if example.split == "train"}

    def from_examples(self) -> Iterator[_Candidate]:
        for example in self.examples:
            if (found := _set_of(example)) is not None:
                # A run may train a part of a fact's wordings; its seed is likely one of them.
                preferred = example.kind == "seed"
                yield _Candidate(found, example.question, example.answer, example.fact_id, preferred)

    def from_sets(self, questions: Iterable[Question]) -> Iterator[_Candidate]:
        asked = {normalise(example.question) for example in self.examples if example.split == "train"}
        for question in questions:
            known = question.fact_id in self.trained or question.kind not in OF_FACTS
            unseen = question.kind == "trained" or normalise(question.question) not in asked
            reference = question.reference or self._answer_to(question)
            if known and unseen and reference:
                yield _Candidate(question.kind, question.question, reference, question.fact_id)

    def _answer_to(self, question: Question) -> str:
        fact = self.facts.get(question.fact_id or 0)
        return fact.answer if fact and question.kind != "reverse" else ""

    def reversed_by_rules(self) -> Iterator[_Candidate]:
        shared = shared_answers(self.facts.values())
        for fact in self.facts.values():
            if fact.id not in self.trained or fact.id in shared:
                continue
            try:
                made = rules.make(fact, Plan(forward=1, reverse=1, answers=1))
            except rules.NeedsModel:
                continue
            yield from (_Candidate("reverse", m.question, m.answer, fact.id) for m in made if m.kind == "reverse")

    def question(self, candidate: _Candidate) -> ProbeQuestion:
        """The candidate with what its answer is judged by: terms that its own reference holds."""
        fact = self.facts.get(candidate.fact_id or 0)
        pair = Fact(id=0, question=candidate.question, answer=candidate.reference)
        proposed = self._proposed(fact) if fact else Proposal()
        judged = [propose_fields(pair).key_terms]
        if fact and candidate.question_set == "reverse":
            subject = fact.subject or proposed.subject
            judged.insert(0, ((subject, *(fact.spellings or proposed.spellings)),) if subject else ())
        elif fact:
            judged.insert(0, fact.key_terms or proposed.key_terms)
        return ProbeQuestion(
            question_set=candidate.question_set,
            question=candidate.question,
            reference=candidate.reference,
            key_terms=next((terms for terms in judged if holds_key_terms(candidate.reference, terms)), ()),
            tags=(fact.tags or proposed.tags) if fact else (),
            fact_id=candidate.fact_id,
        )

    def _proposed(self, fact: Fact) -> Proposal:
        return propose_fields(fact, works=self._works)

    @cached_property
    def _works(self) -> frozenset[str]:
        return works_of(self.facts.values())


def _set_of(example: TrainingExample) -> QuestionSet | None:
    if example.kind == "reverse":
        return "reverse" if example.split == "train" else None
    return "trained" if example.split == "train" else example.split


def _outside(config: RunConfig, general: Sequence[TrainingExample]) -> Iterator[_Candidate]:
    pairs = [(example.question, example.answer) for example in general]
    if not pairs and config.base_model == DEMO_BASE:
        lines = map(json.loads, DEMO_KNOWLEDGE.read_text("utf-8").splitlines())
        pairs = [(pair["question"], pair["answer"]) for pair in lines]
    return (_Candidate("out_of_domain", question, answer) for question, answer in pairs)


def _drawn(candidates: Sequence[_Candidate], config: RunConfig) -> list[_Candidate]:
    """A sample that asks another fact as long as there is one; other facts coming in move no draw."""
    facts: dict[int | str, list[_Candidate]] = defaultdict(list)
    for candidate in sorted(candidates, key=lambda one: (not one.preferred, _draw(config.seed, one.question))):
        facts[candidate.fact_id or candidate.question].append(candidate)
    ranked = [(place, _draw(config.seed, one.question), one) for of in facts.values() for place, one in enumerate(of)]
    return [one for _, _, one in sorted(ranked, key=lambda entry: entry[:2])][: config.probe_questions]


def _draw(seed: int, question: str) -> bytes:
    return sha256(f"{seed}\n{question}".encode()).digest()
