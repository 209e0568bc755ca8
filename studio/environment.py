"""What this machine offers and lacks for training: one sentence and one remedy a check, without loading torch.

Each check only judges the Facts it is given; studio.machine gathers them. Texts are in environment.json.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.errors import RunFailed
from studio.file_systems import WITHOUT_SHARED_MEMORY
from studio.i18n import text
from studio.machine import Facts, gather, probe
from training.nvidia import nvidia_driver, nvidia_gpu_present

GB = 10**9
MODELS_GB = {"llm-jp-3.1-13b-instruct4": 27, "llm-jp-3-7.2b-instruct3": 15, "gpt-oss-20b": 13}
LOW_DISK_BYTES = 2 * GB
# The first driver for each CUDA generation that torch is built for (the table of drivers in CUDA's release notes).
DRIVER_OF_CUDA = {"11": 450, "12": 525, "13": 580}

State = Literal["ok", "warning", "failed"]


class Check(BaseModel):
    """The outcome of one check; `text` and `remedy_text` say it to a person."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    sentence: str
    remedy: str | None = None
    values: dict[str, str] = Field(default_factory=dict)

    def text(self, locale: str = "en") -> str:
        """One sentence: what was found."""
        return text(self.sentence, locale, **self.values)

    def remedy_text(self, locale: str = "en") -> str:
        """One sentence: what to do; empty when all is well."""
        return text(self.remedy, locale, **self.values) if self.remedy else ""


def _told(name: str, state: State, outcome: str, **values: object) -> Check:
    key = f"environment.{name}_{outcome}"
    remedy = None if state == "ok" else f"{key}_remedy"
    return Check(name=name, state=state, sentence=key, remedy=remedy, values={k: str(v) for k, v in values.items()})


def check_platform(facts: Facts) -> Check:
    """Linux and WSL2 train; elsewhere everything but training works."""
    if facts.platform == "linux":
        return _told("platform", "ok", "ok")
    return _told("platform", "warning", "other", platform=facts.platform)


def check_torch(facts: Facts) -> Check:
    """Whether torch can be loaded at all."""
    probe = facts.probe
    if probe.torch and not probe.torch_error:
        return _told("torch", "ok", "ok", version=probe.torch)
    return _told("torch", "failed", "broken", reason=probe.torch_error or probe.error or "-")


def check_gpu(facts: Facts) -> Check:
    """A GPU that torch cannot use is a failure: training would fall to the CPU without a word."""
    probe = facts.probe
    if probe.cuda_available and not probe.torch_error:
        return _told("gpu", "ok", "ok", device=probe.device, vram_gb=f"{probe.vram_bytes / 2**30:.0f}")
    if not facts.nvidia:
        return _told("gpu", "warning", "none")
    if probe.error or not probe.torch:
        return _told("gpu", "failed", "unknown", reason=probe.error or probe.torch_error or "-")
    if probe.torch_cuda is None:
        return _told("gpu", "failed", "cpu_torch", version=probe.torch)
    needed = DRIVER_OF_CUDA.get(probe.torch_cuda.partition(".")[0], 0)
    if facts.driver and int(facts.driver.partition(".")[0]) < needed:
        return _told("gpu", "failed", "old_driver", driver=facts.driver, cuda=probe.torch_cuda, needed=needed)
    return _told("gpu", "failed", "unusable", driver=facts.driver or "-", cuda=probe.torch_cuda)


def check_compiler(facts: Facts) -> Check:
    """Triton compiles C on the first step; without a GPU nothing is compiled."""
    if facts.compiler and facts.python_header:
        return _told("compiler", "ok", "ok", compiler=facts.compiler)
    if not facts.nvidia:
        return _told("compiler", "ok", "unneeded")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _told("compiler", "failed", "no_header" if facts.compiler else "no_compiler", python=version)


def check_unsloth(facts: Facts) -> Check:
    """unsloth needs a GPU; without one the transformers engine does the work."""
    probe = facts.probe
    if not probe.cuda_available:
        return _told("unsloth", "ok", "no_gpu")
    if probe.unsloth and not probe.unsloth_error:
        return _told("unsloth", "ok", "ok", version=probe.unsloth)
    return _told("unsloth", "failed", "broken", reason=probe.unsloth_error or probe.error or "-")


def check_bitsandbytes(facts: Facts) -> Check:
    """The 4-bit weights and the 8-bit optimizer."""
    probe = facts.probe
    if probe.bitsandbytes and not probe.bitsandbytes_error:
        return _told("bitsandbytes", "ok", "ok", version=probe.bitsandbytes)
    return _told("bitsandbytes", "failed", "broken", reason=probe.bitsandbytes_error or probe.error or "-")


def check_data_folder(facts: Facts) -> Check:
    """Written to, and a file system on which SQLite's WAL works."""
    if facts.data_writable:
        return _told("data_folder", "failed", "unwritable", folder=facts.data_dir, reason=facts.data_writable)
    if facts.data_free_bytes < LOW_DISK_BYTES:
        free = f"{facts.data_free_bytes / GB:.1f}"
        return _told("data_folder", "warning", "full", folder=facts.data_dir, free_gb=free)
    if not facts.journal_wal or facts.file_system in WITHOUT_SHARED_MEMORY:
        kind = facts.file_system or "-"
        return _told("data_folder", "warning", "no_wal", folder=facts.data_dir, file_system=kind)
    return _told("data_folder", "ok", "ok", folder=facts.data_dir)


def check_disk(facts: Facts) -> Check:
    """Which of the report's models the Hub's cache still has room for."""
    free_gb = facts.cache_free_bytes / GB
    missing = [f"{model} ({size} GB)" for model, size in MODELS_GB.items() if size > free_gb]
    values = {"folder": facts.cache_dir, "free_gb": f"{free_gb:,.0f}", "missing": ", ".join(missing)}
    return _told("disk", "warning", "small", **values) if missing else _told("disk", "ok", "ok", **values)


def check_proxy(facts: Facts) -> Check:
    """A proxy that catches loopback: Gradio cannot reach itself then and does not start."""
    if facts.proxies:
        return _told("proxy", "failed", "catches", variables=", ".join(facts.proxies))
    return _told("proxy", "ok", "ok")


def check_port(facts: Facts) -> Check:
    """Whether the page's port can be bound."""
    if facts.port_free:
        return _told("port", "ok", "ok", port=facts.port)
    return _told("port", "failed", "taken", port=facts.port)


def check_hub(facts: Facts) -> Check:
    """Whether downloads from the Hub are allowed, and signed in for gated models."""
    if facts.hub_offline:
        return _told("hub", "warning", "offline")
    return _told("hub", "ok", "token" if facts.hub_token else "anonymous")


CHECKS: tuple[Callable[[Facts], Check], ...] = (
    check_platform,
    check_torch,
    check_gpu,
    check_compiler,
    check_unsloth,
    check_bitsandbytes,
    check_data_folder,
    check_disk,
    check_proxy,
    check_port,
    check_hub,
)


def checks(data_dir: Path, port: int | None = None) -> list[Check]:
    """Every check, in the order a person reads them; `port` None leaves the port out (the UI itself holds it)."""
    facts = gather(data_dir, port)
    return [check(facts) for check in CHECKS if check is not check_port or port is not None]


class Untrainable(RunFailed):
    """This machine cannot train, for the reason that a check found."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.sentence, **check.values)
        self.check = check

    def text(self, locale: str = "en") -> str:
        """What was found and what to do."""
        return f"{self.check.text(locale)} {self.check.remedy_text(locale)}"


def require_trainable(data_dir: Path) -> None:
    """Raise Untrainable where a run must not start: not on Linux, or a GPU that torch cannot use."""
    facts = Facts(platform=sys.platform, nvidia=nvidia_gpu_present())
    if facts.nvidia:
        facts = facts.model_copy(update={"driver": nvidia_driver(), "probe": probe(data_dir)})
    if (platform := check_platform(facts)).state != "ok":
        raise Untrainable(platform)
    if (gpu := check_gpu(facts)).state == "failed":
        raise Untrainable(gpu)
