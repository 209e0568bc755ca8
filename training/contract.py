"""What the UI and the worker processes promise each other: configuration, metrics, status and the files of a run.

Both sides import this module, so it stays cheap: standard library and pydantic only, and it must not know how a
model is trained or how a page looks.
"""

import os
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

# Beside an adapter: what tells its base from another one of the same name.
BASE_FILE = "base.json"
PROJECT_ROOT = Path(__file__).resolve().parent.parent

RunState = Literal["queued", "starting", "running", "stopping", "finished", "stopped", "failed", "crashed"]
Phase = Literal["downloading", "loading", "compiling", "training", "evaluating", "saving"]
Split = Literal["train", "heldout_phrasing", "heldout_fact"]
ExampleKind = Literal["seed", "paraphrase", "reverse"]
AnswerStyle = Literal["short", "detailed"]
Engine = Literal["auto", "unsloth", "transformers"]
Method = Literal["sft", "cpt", "mixed"]
Logger = Literal["tensorboard", "trackio", "wandb"]
QuestionSet = Literal["trained", "heldout_phrasing", "reverse", "heldout_fact", "out_of_domain"]

Verdict = Literal["right", "partly", "wrong"]

ENDED: frozenset[RunState] = frozenset({"finished", "stopped", "failed", "crashed"})


def now() -> datetime:
    """The present moment in UTC, to the second: files are compared across machines and read by people."""
    return datetime.now(UTC).replace(microsecond=0)


def resolve_base_model(base_model: str) -> str:
    """The absolute folder of a model that ships with the project, else the given Hub id or folder unchanged."""
    shipped = PROJECT_ROOT / base_model
    return str(shipped) if base_model and shipped.is_dir() else base_model


class Frozen(BaseModel):
    """A value that crosses a process boundary: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RunConfig(Frozen):
    """One fine-tuning run: every choice that can change the adapter it produces. Names are TRL's and PEFT's.

    Departures from TRL's defaults: `learning_rate` 2e-4 (its 2e-5 is for full fine-tuning), `optim` adamw_8bit,
    `assistant_only_loss` True, `max_length` 512 (it counts tokens and truncates).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: str = Field("custom", max_length=80, description="Preset that the form started from.")
    name: str = Field("", max_length=80, description="Name shown in lists; empty takes the run id.")
    dataset: str = Field(min_length=1, max_length=200, description="Dataset whose accepted examples are trained.")
    dataset_version: str = Field(
        "", max_length=100, description="Version of the dataset that is trained; empty freezes the dataset as it is."
    )
    base_model: str = Field(min_length=1, max_length=400, description="Hub id or local folder of the base model.")
    method: Method = Field(
        "sft", description="What is trained: question-answer pairs (sft), documents (cpt), or both at once (mixed)."
    )
    init_run: str = Field(
        "", max_length=200, description="Run whose adapter this one goes on from; empty starts a new adapter."
    )
    stack_adapter: bool = Field(
        False, description="Freeze the adapter of init_run and train a new one on top, instead of training it on."
    )
    engine: Engine = Field("auto", description="Library that loads the 4-bit base; auto takes unsloth on CUDA.")
    target_modules: tuple[str, ...] = Field(
        ("attention", "mlp", "experts"),
        min_length=1,
        description="Modules that get an adapter: attention, mlp, experts, all, or the architecture's own names.",
    )
    lora_r: int = Field(16, ge=1, le=512, description="Rank r of each low-rank update.")
    lora_alpha: int = Field(32, ge=1, le=1024, description="Scale of the update; it is multiplied by alpha / r.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Share of adapter inputs dropped while training.")
    learning_rate: float = Field(2e-4, gt=0, le=1e-1, description="Peak learning rate.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field(
        "cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_steps: int = Field(10, ge=0, description="Steps over which the learning rate rises to its peak.")
    per_device_train_batch_size: int = Field(4, ge=1, le=1024, description="Examples per forward pass.")
    gradient_accumulation_steps: int = Field(1, ge=1, le=1024, description="Forward passes per optimizer step.")
    num_train_epochs: float = Field(3.0, gt=0, le=1000, description="Times every example is seen.")
    max_steps: int = Field(-1, ge=-1, le=10_000_000, description="Optimizer steps; -1 follows the epochs.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, ge=0, description="Gradient norm above which gradients are scaled down.")
    optim: Literal["adamw_8bit", "paged_adamw_8bit", "adamw_torch"] = Field("adamw_8bit", description="Optimizer.")
    max_length: int = Field(512, ge=8, le=131_072, description="Tokens per example; longer ones are truncated.")
    packing: bool = Field(False, description="Put several short examples into one sequence.")
    assistant_only_loss: bool = Field(
        True, description="Train on the assistant's tokens only, channel header to end token."
    )
    heldout_phrasings: int = Field(1, ge=0, le=100, description="Question phrasings per fact kept out of training.")
    heldout_fact_share: float = Field(0.0, ge=0, lt=1, description="Share of facts kept out of training altogether.")
    variants_per_fact: int = Field(0, ge=0, le=1000, description="Most trained examples per fact; 0 takes them all.")
    replay_dataset: str = Field(
        "", max_length=200, description="Dataset, or file that ships with the project, of general examples to replay."
    )
    replay_share: float = Field(0.0, ge=0, lt=1, description="Share of what is trained that is replayed.")
    probe_questions: int = Field(
        20, ge=0, le=1000, description="Questions of each set that are asked after every epoch; 0 asks none."
    )
    early_stopping_patience: int = Field(
        0, ge=0, le=100, description="Probes without a better held-out score after which training ends; 0 never ends."
    )
    report_to: tuple[Logger, ...] = Field((), description="Where metrics go besides: tensorboard, trackio, wandb.")
    num_processes: int = Field(1, ge=1, le=64, description="GPUs that accelerate launches a process each for.")
    accelerate_config_file: str = Field(
        "", max_length=400, description="Configuration file of accelerate for several machines; empty needs none."
    )
    save_steps: int = Field(500, ge=1, description="Optimizer steps between two checkpoints.")
    seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of initialisation, order and splits.")

    @model_validator(mode="after")
    def _some_steps(self) -> Self:
        if self.max_steps == 0:
            raise ValueError("max_steps is 0: nothing would be trained. Use -1 to follow the epochs.")
        return self


class TrainingExample(Frozen):
    """One line of `examples.jsonl`: an example as the run froze it."""

    id: int
    fact_id: int
    split: Split
    kind: ExampleKind
    answer_style: AnswerStyle
    question: str
    answer: str
    thinking: str = Field(
        "", description="What a base thinks before this answer. Replayed, it keeps thinking where it did."
    )

    def messages(self) -> list[dict[str, str]]:
        """The conversation in the form chat templates read. An empty `thinking` key would train empty analysis."""
        thinking = {"thinking": self.thinking} if self.thinking else {}
        return [
            {"role": "user", "content": self.question},
            {"role": "assistant", "content": self.answer} | thinking,
        ]


class TrainingDocument(Frozen):
    """One line of `documents.jsonl`: an article as the run froze it."""

    id: int
    title: str
    text: str


_REPLAYED: TypeAdapter[TrainingExample | TrainingDocument] = TypeAdapter(TrainingExample | TrainingDocument)


class ProbeQuestion(Frozen):
    """One line of `probe_questions.jsonl`: what is asked after every epoch, and by what its answer is judged."""

    question_set: QuestionSet
    question: str
    reference: str
    key_terms: tuple[tuple[str, ...], ...] = Field(
        (), description="All terms of a right answer, each with its alternatives; empty compares with the reference."
    )
    tags: tuple[str, ...] = ()
    fact_id: int | None = None


class ProbeAnswer(Frozen):
    """What the model answered to one question of a probe."""

    question: str
    answer: str
    reply_state: str
    verdict: Verdict


class ProbeRecord(Frozen):
    """One line of `probes.jsonl`: one question set, asked after `step` optimizer steps. Step 0 is the base.

    `asked` may be less than the run's questions of the set: a probe thins itself to its share of the time.
    """

    step: int
    epoch: float
    question_set: QuestionSet
    asked: int
    right: int
    partly: int
    seconds: float
    by_tag: dict[str, tuple[int, int]] = Field(default_factory=dict, description="Right and asked of each tag.")
    answers: tuple[ProbeAnswer, ...] = ()


class MetricRecord(Frozen):
    """One line of `metrics.jsonl`, written after an optimizer step. `memory_bytes` is VRAM on CUDA, else resident."""

    step: int
    total_steps: int
    epoch: float
    elapsed_s: float
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_s: float | None = None
    memory_bytes: int | None = None
    gpu_load: float | None = Field(None, ge=0, le=1, description="Share of time in which the GPU computed.")
    eta_s: float | None = None


class RunStatus(Frozen):
    """`status.json`: where a run stands. The worker replaces it whole; the two shares are measured, never assumed."""

    state: RunState
    phase: Phase | None = None
    reason: str = Field("", description="English sentence of a failure; the code and values give it in any language.")
    reason_code: str = Field("", description="i18n key of the sentence, as worker.error_no_examples.")
    reason_values: dict[str, str] = Field(default_factory=dict, description="What fills the sentence's placeholders.")
    step: int = 0
    total_steps: int = 0
    train_loss: float | None = None
    eval_loss: float | None = None
    engine: Engine | None = None
    device: str = ""
    pid: int | None = None
    pid_started: float | None = None
    downloaded_bytes: int | None = None
    download_bytes: int | None = None
    base_repository: str = Field("", description="Repository or folder whose weights were really loaded.")
    four_bit_share: float | None = Field(None, ge=0, le=1, description="Share of base parameters really in 4 bits.")
    adapter_modules: dict[str, int] = Field(default_factory=dict, description="Modules with an adapter, per kind.")
    trainable_parameters: int | None = None
    facts: int | None = None
    examples: int | None = None
    documents: int | None = None
    blocks: int | None = Field(None, description="Sequences that documents or several examples were packed into.")
    replayed: int | None = Field(None, description="Replayed examples or documents among what is trained.")
    useful_token_share: float | None = Field(None, ge=0, le=1, description="Share of tokens that are no padding.")
    per_device_train_batch_size: int | None = Field(None, description="As really used: halved where memory ran out.")
    gradient_accumulation_steps: int | None = None
    out_of_memory_retries: int = 0
    resumed_from_step: int | None = None
    best_step: int | None = Field(None, description="Step of the saved adapter, where a probe chose it.")
    trained_tokens: int | None = Field(None, description="Tokens that carry loss in one pass over the data.")
    truncated: int | None = Field(None, description="Examples longer than max_length, cut at their end.")
    untrained: int | None = Field(None, description="Examples left out: no token to train remained after the cut.")
    started_at: datetime | None = None
    updated_at: datetime = Field(default_factory=now)
    finished_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether no process will change this status any more."""
        return self.state in ENDED


class Launch(Frozen):
    """`launch.json`: the process that the UI spawned; `pid_started` (psutil's create_time) tells a reused pid."""

    pid: int
    pid_started: float


class RunFolder:
    """The files of one run. Every file has one writer, named beside it; readers never lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.json"  # UI, once
        self.examples = root / "examples.jsonl"  # UI, once
        self.documents = root / "documents.jsonl"  # UI, once: TrainingDocument; absent without documents
        self.replay = root / "replay.jsonl"  # UI, once: TrainingExample or TrainingDocument; absent without replay
        self.probe_questions = root / "probe_questions.jsonl"  # UI, once
        self.launch = root / "launch.json"  # UI, once
        self.stop = root / "stop"  # UI: asks the worker to stop and save
        self.metrics = root / "metrics.jsonl"  # worker, appended
        self.probes = root / "probes.jsonl"  # worker, appended
        self.preflight = root / "preflight.json"  # preflight
        self.status = root / "status.json"  # worker, replaced
        self.log = root / "worker.log"  # worker
        self.checkpoints = root / "checkpoints"  # worker
        self.adapter = root / "adapter"  # worker
        self.exports = root / "exports"  # a folder of each kind of export, written by its process

    def read_config(self) -> RunConfig:
        """The configuration that the run was started with."""
        return RunConfig.model_validate_json(self.config.read_bytes())

    def read_examples(self) -> list[TrainingExample]:
        """All frozen examples, every split."""
        with self.examples.open(encoding="utf-8") as lines:
            return [TrainingExample.model_validate_json(line) for line in lines if line.strip()]

    def read_documents(self) -> list[TrainingDocument]:
        """All frozen articles; none where the run trains none."""
        with self.documents.open(encoding="utf-8") if self.documents.exists() else nullcontext(()) as lines:
            return [TrainingDocument.model_validate_json(line) for line in lines if line.strip()]

    def read_replay(self) -> list[TrainingExample | TrainingDocument]:
        """All frozen examples and articles that are replayed; none where the run replays none."""
        with self.replay.open(encoding="utf-8") if self.replay.exists() else nullcontext(()) as lines:
            return [_REPLAYED.validate_json(line) for line in lines if line.strip()]

    def read_status(self) -> RunStatus | None:
        """What the worker last wrote, or None before its first word."""
        return RunStatus.model_validate_json(self.status.read_bytes()) if self.status.exists() else None

    def read_launch(self) -> Launch | None:
        """The spawned process, or None where the run was not started here (the sample run)."""
        return Launch.model_validate_json(self.launch.read_bytes()) if self.launch.exists() else None

    def read_probe_questions(self) -> list[ProbeQuestion]:
        """What is asked after every epoch; nothing where the run asks nothing."""
        return [ProbeQuestion.model_validate_json(line) for line in _lines_from(self.probe_questions, 0)[0]]

    def read_metrics(self, offset: int = 0) -> tuple[list[MetricRecord], int]:
        """Records that start at byte `offset`, and the offset to pass next time."""
        lines, end = _lines_from(self.metrics, offset)
        return [MetricRecord.model_validate_json(line) for line in lines], end

    def read_probes(self, offset: int = 0) -> tuple[list[ProbeRecord], int]:
        """Records that start at byte `offset`, and the offset to pass next time."""
        lines, end = _lines_from(self.probes, offset)
        return [ProbeRecord.model_validate_json(line) for line in lines], end


def _lines_from(path: Path, offset: int) -> tuple[list[bytes], int]:
    """The whole lines that start at a byte, and where they end; a last line without its newline is left for later."""
    if not path.exists():
        return [], offset
    with path.open("rb") as lines:
        lines.seek(offset)
        fresh = lines.read()
    complete = fresh[: fresh.rfind(b"\n") + 1]
    return complete.splitlines(), offset + len(complete)


def replace_text(path: Path, text: str, *, mode: int = 0o644, durable: bool = True) -> None:
    """Write a file so that a reader sees the old or the new text, never half; `durable`, even across a power cut."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(temporary, path)
