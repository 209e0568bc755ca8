"""What bench_gpu trains: which presets through which engines, and run folders whose sequences are all full.

It must not know how a run is watched or where its figures go.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from studio.runs.presets import presets
from training.contract import (
    PROJECT_ROOT,
    ProbeQuestion,
    QuestionSet,
    RunConfig,
    RunFolder,
    TrainingDocument,
    TrainingExample,
)

STEPS, MEASURED_STEPS = 20, 8
HELD_OUT, ASKED = 4, 4
SENTENCE = "ミナトです。"  # at least a token, whatever the tokenizer
SETS: tuple[QuestionSet, ...] = ("trained", "heldout_phrasing", "out_of_domain")
TINY_LENGTH = 64
TRIAL = "llm-jp-3.1-1.8b-instruct4"
# Folders are named as the repositories that are really loaded: unsloth looks at names.
LOADED = {"gpt-oss-20b": "gpt-oss-20b-unsloth-bnb-4bit"}


@dataclass(frozen=True)
class Case:
    """One training. A `whole` one is probed, saved and asked; `changes` is what it does not leave as the preset has it.

    `host_gib` bounds what training may take of the host's memory where there is no GPU to bound.
    """

    name: str
    model: str
    preset: str
    engine: str
    steps: int
    whole: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    host_gib: float = 0.0

    def config(self, base: Path) -> RunConfig:
        """The run's configuration on that base."""
        chosen = presets()[self.preset].config | self.changes
        own = {"base_model": str(base), "dataset": "full", "engine": self.engine, "max_steps": self.steps}
        return RunConfig.model_validate(chosen | own | {"preset": self.preset, "save_steps": 10_000})


def cases(*, tiny: bool) -> list[Case]:
    """All of them, a model's one after the other; tiny ones run without a GPU and therefore without unsloth."""
    found: list[Case] = []
    seen: list[dict[str, Any]] = []
    for name, preset in presets().items():
        # How a second stage goes on changes nothing of a first one.
        settings = {field: value for field, value in preset.config.items() if field != "stack_adapter"}
        if name.startswith("demo") or settings in seen:
            continue
        seen.append(settings)
        model = preset.config["base_model"].split("/")[1]
        is_report = name.endswith("-report")
        changes: dict[str, Any] = {"max_length": TINY_LENGTH} if tiny else {}
        if model.startswith("gpt-oss") and is_report:
            # Of the names in the reports only attention's exist there, so that is what they trained.
            changes["target_modules"] = ("attention",)
        for engine in engines_of(model, tiny=tiny):
            whole = not is_report and (tiny or engine == "unsloth")
            steps = STEPS if whole else MEASURED_STEPS
            found.append(Case(f"{name}/{engine}", model, name, engine, steps, whole, changes))
    found += [out_of_memory(engine, tiny=tiny) for engine in engines_of(TRIAL, tiny=tiny)]
    return sorted(found, key=lambda case: list(models()).index(case.model))


def models() -> dict[str, None]:
    """The models of the presets, smallest first: the first figures come in minutes."""
    return dict.fromkeys((TRIAL, "gpt-oss-20b", "llm-jp-3.1-13b-instruct4", "llm-jp-3-7.2b-instruct3"))


def engines_of(model: str, *, tiny: bool) -> Sequence[str]:
    """What can load a model: gpt-oss needs unsloth, and unsloth a GPU."""
    if model.startswith("gpt-oss"):
        return () if tiny else ("unsloth",)
    return ("transformers",) if tiny else ("unsloth", "transformers")


def out_of_memory(engine: str, *, tiny: bool) -> Case:
    """A micro-batch that cannot fit: the worker has to find a smaller one and keep the effective batch."""
    size = {"per_device_train_batch_size": 512 if tiny else 256, "gradient_accumulation_steps": 1}
    length = {"max_length": 2 * TINY_LENGTH} if tiny else {}
    changes = {**size, **length, "replay_share": 0.0}
    name = f"out-of-memory/{engine}"
    return Case(name, TRIAL, f"{TRIAL}-sft", engine, 3, changes=changes, host_gib=0.4 if tiny else 0.0)


def write_run(root: Path, case: Case, base: Path) -> RunFolder:
    """A run folder in which every sequence is as long as it may be: the most memory that the settings can take."""
    config, folder = case.config(base), RunFolder(root)
    root.mkdir(parents=True)
    folder.config.write_text(config.model_dump_json(), "utf-8")
    number = case.steps * config.per_device_train_batch_size * config.gradient_accumulation_steps
    text = SENTENCE * config.max_length
    _write(folder.examples, _examples(0 if config.method == "cpt" else number, text))
    if config.method != "sft":
        _write(folder.documents, [TrainingDocument(id=place, title="", text=text) for place in range(number)])
    if config.replay_share:
        replayed = round(number * config.replay_share / (1 - config.replay_share))
        _write(folder.replay, _general(replayed))
    if case.whole:
        _write(folder.probe_questions, _questions())
    return folder


def _write(path: Path, lines: Sequence[BaseModel] | Iterator[BaseModel]) -> None:
    path.write_text("".join(line.model_dump_json() + "\n" for line in lines), "utf-8")


def _examples(number: int, text: str) -> Iterator[TrainingExample]:
    for place in range(number + HELD_OUT):
        yield TrainingExample(
            id=place,
            fact_id=place,
            split="train" if place < number else "heldout_phrasing",
            kind="seed",
            answer_style="detailed",
            question="主人公は誰ですか？",
            answer=text,
        )


def _general(number: int) -> Iterator[TrainingExample]:
    """Short ones, as the presets replay them."""
    lines = (PROJECT_ROOT / "assets/demo/general.jsonl").read_text("utf-8").splitlines()
    for place in range(number):
        written = json.loads(lines[place % len(lines)])
        kind: dict[str, Any] = {"split": "train", "kind": "seed", "answer_style": "short"}
        yield TrainingExample(id=place, fact_id=place, **kind, **written)


def _questions() -> Iterator[ProbeQuestion]:
    for question_set in SETS:
        for place in range(ASKED):
            question = "主人公は誰ですか？" + "誰" * place
            yield ProbeQuestion(question_set=question_set, question=question, reference=SENTENCE)
