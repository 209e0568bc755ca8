"""What a run of a configuration trains and is asked, gathered from the datasets: examples, articles, replay, questions.

It must not know run folders or processes, nor how anything is tokenized.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from studio.datasets.catalog import Datasets
from studio.datasets.documents import Documents
from studio.datasets.versions import Versions
from studio.errors import RunFailed
from studio.runs.freeze import Frozen
from studio.runs.probe_questions import probe_questions
from training.contract import PROJECT_ROOT, ProbeQuestion, RunConfig, TrainingDocument, TrainingExample
from training.preflight_report import planned_epochs

ASSETS = PROJECT_ROOT / "assets"
# Replayed texts that stay untrained at least, so that a probe can ask for something general: one in so many.
KEPT_BACK = 5


class Source(Protocol):
    """Where a run's texts come from."""

    def frozen_examples(self, name: str, config: RunConfig) -> tuple[str, list[TrainingExample]]:
        """The version of a dataset that is trained, and its accepted examples with their splits."""
        ...

    def articles(self, name: str) -> tuple[int, Iterator[TrainingDocument]]:
        """How many articles of a dataset are trained on, and these."""
        ...

    def general_examples(self, name: str, config: RunConfig) -> list[TrainingExample] | None:
        """Everything that a dataset or a file of the project has to replay; None where there is no such one."""
        ...

    def probe_questions(
        self, config: RunConfig, examples: Sequence[TrainingExample], general: Sequence[TrainingExample]
    ) -> list[ProbeQuestion]:
        """What is asked while the run goes on; `general` could be replayed and is not."""
        ...


class Materials:
    """The texts of the datasets of one store."""

    def __init__(self, datasets: Datasets, versions: Versions, documents: Documents) -> None:
        self._datasets = datasets
        self._versions = versions
        self._documents = documents

    def frozen_examples(self, name: str, config: RunConfig) -> tuple[str, list[TrainingExample]]:
        """The version of a dataset that is trained, and its accepted examples with their splits."""
        return self._versions.frozen_examples(name, config)

    def articles(self, name: str) -> tuple[int, Iterator[TrainingDocument]]:
        """How many articles of a dataset are trained on, and these."""
        if name not in self._datasets.names():
            return 0, iter(())
        found = enumerate(self._documents.frozen_documents(name), start=1)
        articles = (TrainingDocument(id=number, title=title, text=text) for number, (title, text) in found)
        return self._documents.counts(name).included, articles

    def general_examples(self, name: str, config: RunConfig) -> list[TrainingExample] | None:
        """Everything that a dataset or a file of the project has to replay; None where there is no such one."""
        if name in self._datasets.names():
            whole = config.model_copy(update={"heldout_phrasings": 0, "heldout_fact_share": 0.0})
            return self._datasets.frozen_examples(name, whole)
        path = (PROJECT_ROOT / name).resolve()  # the name may come from a browser
        is_ours = path.is_relative_to(ASSETS) and path.suffix == ".jsonl" and path.is_file()
        return list(_read(path)) if is_ours else None

    def probe_questions(
        self, config: RunConfig, examples: Sequence[TrainingExample], general: Sequence[TrainingExample]
    ) -> list[ProbeQuestion]:
        """What is asked while the run goes on; `general` could be replayed and is not."""
        return probe_questions(self._datasets.store, config, examples, general)


def gather(source: Source, config: RunConfig) -> Frozen:
    """The texts of a run. Raises RunFailed where there is nothing to train or nothing to replay."""
    version, examples = source.frozen_examples(config.dataset, config)
    config = config.model_copy(update={"dataset_version": version})
    examples = fewer_variants(examples, config)
    number = sum(example.split == "train" for example in examples) if config.method != "cpt" else 0
    if config.method != "cpt" and not number:
        raise RunFailed("runs.error_no_examples", dataset=config.dataset)
    documents: Iterable[TrainingDocument] = ()
    if config.method != "sft":
        articles, documents = source.articles(config.dataset)
        if not articles:
            raise RunFailed("runs.error_no_documents", dataset=config.dataset)
        number += articles
    replay, kept_back = _replay(source, config, number) if config.replay_share else ((), ())
    return Frozen(config, examples, documents, replay, source.probe_questions(config, examples, kept_back))


def fewer_variants(examples: list[TrainingExample], config: RunConfig) -> list[TrainingExample]:
    """At most `variants_per_fact` trained examples a fact, both directions among them; the seed is taken first.

    A larger number takes the same ones and more, so that runs of a sweep differ in nothing else.
    """
    most = config.variants_per_fact
    if not most:
        return examples
    directions: dict[int, dict[bool, list[TrainingExample]]] = defaultdict(lambda: {False: [], True: []})
    for example in examples:
        if example.split == "train":
            directions[example.fact_id][example.kind == "reverse"].append(example)
    taken: set[int] = set()
    for both in directions.values():
        ranked = [(place, back, key) for back, found in both.items() for place, key in _ranked(found, config.seed)]
        taken |= {key for _, _, key in sorted(ranked)[:most]}
    return [example for example in examples if example.split != "train" or example.id in taken]


def _ranked(examples: list[TrainingExample], seed: int) -> Iterator[tuple[float, int]]:
    """Each example's place between 0 and 1 among those of its direction, drawn by the seed."""
    drawn = sorted(examples, key=lambda e: (e.kind != "seed", sha256(f"{seed}\n{e.id}".encode()).digest()))
    for place, example in enumerate(drawn):
        yield place / len(drawn), example.id


def _replay(
    source: Source, config: RunConfig, number: int
) -> tuple[Iterable[TrainingExample | TrainingDocument], Sequence[TrainingExample]]:
    """What is replayed beside so many texts that are trained, and examples that are kept back from it.

    SFT replays examples, continued pre-training articles where there are any, a mixed run both. What is there is
    repeated where it is too little for an epoch; where examples are enough for more, each epoch has others.
    """
    name = config.replay_dataset
    if not name:
        raise RunFailed("runs.error_replay_unchosen", share=f"{config.replay_share:.0%}")
    if name == config.dataset:
        raise RunFailed("runs.error_replay_same", dataset=name)
    examples = source.general_examples(name, config)
    if examples is None:
        raise RunFailed("runs.error_replay_gone", dataset=name)
    count, articles = source.articles(name) if config.method != "sft" else (0, iter(()))
    if config.method == "cpt" and count:
        examples = []
    if not examples and not count:
        raise RunFailed("runs.error_replay_empty", dataset=name)
    wanted = round(number * config.replay_share / (1 - config.replay_share))
    order = random.Random(config.seed).sample(range(len(examples) + count), len(examples) + count)
    kept = min(config.probe_questions, len(order) // KEPT_BACK)
    there = len(order) - kept
    if not count and not config.packing:
        wanted = max(wanted, min(there, wanted * planned_epochs(config, number + wanted)))
    times = Counter(order[place % there] for place in range(max(1, wanted)))
    replayed = (text for place, text in enumerate(_chain(examples, articles)) for _ in range(times[place]))
    return replayed, tuple(example for place, example in enumerate(examples) if not times[place])


def _chain(
    examples: Iterable[TrainingExample], articles: Iterable[TrainingDocument]
) -> Iterator[TrainingExample | TrainingDocument]:
    yield from examples
    yield from articles


def _read(path: Path) -> Iterator[TrainingExample]:
    """The questions and answers of a file that ships with the project."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        pair = json.loads(line)
        yield TrainingExample(
            id=number,
            fact_id=number,
            split="train",
            kind="seed",
            answer_style="short",
            question=pair["question"],
            answer=pair["answer"],
            thinking=pair.get("thinking", ""),
        )
