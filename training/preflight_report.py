"""What preflight tells the UI about a run before it starts: counts, lengths, memory, and findings with their fixes.

Both sides import this module: standard library and pydantic only. It must not know how anything in it is found out.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from training.contract import Engine, Frozen, RunConfig, TrainingExample

Severity = Literal["error", "warning", "note"]
FieldValue = bool | int | float | str | tuple[str, ...]


class Finding(Frozen):
    """Something to know before the start. With an `error` the run would be refused or fail.

    `code` is the i18n key of the sentence that `values` fill; `fix` are the RunConfig fields that remedy it.
    """

    code: str
    severity: Severity = "warning"
    values: dict[str, str] = Field(default_factory=dict)
    fix: dict[str, FieldValue] = Field(default_factory=dict)


class Piece(Frozen):
    """A stretch of whole characters of a rendered example, or one special token."""

    text: str
    trained: bool
    special: bool = False


class Rendered(Frozen):
    """One sequence as the model will see it; `left_out` tokens at its end are not in `pieces`."""

    pieces: tuple[Piece, ...]
    tokens: int
    trained_tokens: int
    left_out: int = 0


class Bin(Frozen):
    """Sequences of a length from `start` up to, but without, `end` tokens."""

    start: int
    end: int
    number: int


class Memory(Frozen):
    """Estimated bytes on the device that trains, by part."""

    weights: int
    lora: int
    optimizer: int
    activations: int
    logits: int
    overhead: int

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.model_dump().values())


class Preflight(Frozen):
    """`preflight.json`. None is what is not known: the part before it failed, and a finding says why."""

    engine: Engine = "auto"
    repository: str = Field("", description="Repository or folder that is really loaded.")
    on_gpu: bool | None = None

    architecture: str = ""
    modules: dict[str, int] | None = Field(None, description="Modules that get an adapter, per kind.")
    available: tuple[str, ...] = Field((), description="Kinds and names of modules that could get one.")
    unmatched: tuple[str, ...] = Field((), description="Target words that match nothing.")
    closed_experts: int = Field(0, description="Expert weights that the words name and no adapter here fits.")
    fused_experts: bool = Field(False, description="Some targets are expert parameters, which take no dropout.")
    trainable_parameters: int | None = None
    four_bit_share: float | None = None

    our_template: str = Field("", description="Chat template of ours that stands in for the base's own.")

    facts: int | None = None
    examples: int | None = None
    heldout: int | None = None
    reversed_facts: int | None = Field(None, description="Facts with a trained question in the other direction.")
    documents: int | None = None
    replayed: int | None = None
    blocks: int | None = None
    sequences: int | None = Field(None, description="What one epoch goes through.")
    tokens: int | None = Field(None, description="Tokens of one epoch without padding.")
    trained_tokens: int | None = None
    steps: int | None = None
    encoded_share: float = Field(1.0, description="Under 1, figures of tokens come from a sample of this share.")

    shown: tuple[Rendered, ...] = ()
    histogram: tuple[Bin, ...] = ()
    longest: int | None = Field(None, description="Tokens of the longest example before it is cut.")
    longest_sequence: int | None = Field(None, description="Tokens of the longest sequence that is trained.")
    truncated: int | None = None
    untrained: int | None = None
    useful_token_share: float | None = None
    lint: tuple[str, ...] = Field((), description="Rules of the format that a rendered example breaks.")

    memory: Memory | None = None
    device_bytes: int | None = None
    free_bytes: int | None = None
    download_bytes: int | None = Field(None, description="The base, where it is not here yet.")
    disk_bytes: int | None = Field(None, description="What the run will write, the base's download included.")
    disk_free_bytes: int | None = None

    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against starting."""
        return not any(finding.severity == "error" for finding in self.findings)


def counts_of(examples: Sequence[TrainingExample]) -> dict[str, int]:
    """What of a report the frozen examples tell by themselves."""
    trained = [example for example in examples if example.split == "train"]
    return {
        "facts": len({example.fact_id for example in trained}),
        "examples": len(trained),
        "heldout": len(examples) - len(trained),
        "reversed_facts": len({example.fact_id for example in trained if example.kind == "reverse"}),
    }


def global_batch(config: RunConfig) -> int:
    """Sequences per optimizer step."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * config.num_processes


def planned_steps(config: RunConfig, sequences: int) -> int:
    """Optimizer steps of a run over this many sequences, as transformers' Trainer counts them."""
    if config.max_steps > 0:
        return config.max_steps
    batches = math.ceil(sequences / (config.per_device_train_batch_size * config.num_processes))
    return math.ceil(math.ceil(batches / config.gradient_accumulation_steps) * config.num_train_epochs)


def planned_epochs(config: RunConfig, sequences: int) -> int:
    """How often a run goes through this many sequences; one that is begun counts."""
    if config.max_steps > 0:
        return math.ceil(config.max_steps / math.ceil(max(1, sequences) / global_batch(config)))
    return math.ceil(config.num_train_epochs)


def total_tokens(config: RunConfig, found: Preflight) -> float | None:
    """Tokens without padding that the whole run reads."""
    if not found.steps or not found.sequences or found.tokens is None:
        return None
    return found.steps * global_batch(config) * found.tokens / found.sequences
