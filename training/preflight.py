"""What a run will train, told before it starts: python -m training.preflight RUN_FOLDER writes preflight.json.

No weights are loaded and no GPU is touched: the model is built on the meta device from its configuration, and a run may
be training meanwhile. It must not know who reads its report.
"""

import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from training import architecture, data, doctor, engines, hub, lora, memory, mixture, rendering
from training.chat_formats import our_template
from training.contract import RunConfig, RunFolder, TrainingExample, replace_text, resolve_base_model
from training.errors import RunError
from training.nvidia import nvidia_gpu_present, video_memory
from training.preflight_report import Bin, Finding, Preflight, counts_of, planned_steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

# What is encoded at most, some 16,000 questions or 500 articles: the others are like them.
MOST_BYTES = 4_000_000
LOOKED_AT = 16  # examples that are checked one by one
UNCUT = 1_000_000
MOST_BINS = 24
SMALL_FILES = ("*.json", "*.jinja", "*.model", "*.txt", "tokenizer*")
KEPT_CHECKPOINTS = 3  # the last two and the best


@dataclass
class _Look:
    """What is known so far; a part that fails leaves a finding instead of its figures."""

    folder: RunFolder
    config: RunConfig
    engine: engines.UsedEngine
    on_gpu: bool
    known: dict[str, Any] = field(default_factory=dict)
    failures: list[Finding] = field(default_factory=list)

    @contextmanager
    def part(self) -> Iterator[None]:
        """Turns a refusal into a finding; whatever comes after goes on without this part."""
        try:
            yield
        except RunError as error:
            fix = doctor.REMEDIES.get(error.code, {})
            if fix.get("engine") == "unsloth" and not self.on_gpu:
                fix = {}  # it would be refused as well
            self.failures.append(Finding(code=error.code, severity="error", values=error.values, fix=fix))


def look(folder: RunFolder) -> Preflight:
    """Everything that can be told about a run without its weights; what cannot be found out is a finding."""
    config, has_gpu = folder.read_config(), nvidia_gpu_present()
    engine: engines.UsedEngine = config.engine if config.engine != "auto" else "unsloth" if has_gpu else "transformers"
    on_gpu = has_gpu or engine == "unsloth"  # where it could run, if it could
    looked = _Look(folder, config, engine, on_gpu)
    looked.known |= {"engine": engine, "on_gpu": on_gpu, "repository": engines.really_loaded(config.base_model, engine)}
    with looked.part():
        if engine == "unsloth" and not has_gpu:
            raise RunError("worker.error_unsloth_needs_cuda")
    looked.known |= counts_of(folder.read_examples()) | {"documents": len(folder.read_documents())}
    base = None
    with looked.part():
        base = _small_files(looked)
    if base is not None:
        with looked.part():
            engines.require_loadable(base, config.base_model, engine)
        with looked.part():
            tokenizer = engines.load_tokenizer(base)
            looked.known["our_template"] = our_template(tokenizer)
            _encode(looked, tokenizer)
        with looked.part():
            _plan(looked, base)
    found = Preflight(**looked.known)
    # What raised and what the doctor says may be the same thing; the doctor knows more about its remedy.
    findings = {finding.code: finding for finding in (*looked.failures, *doctor.examine(config, found))}
    return found.model_copy(update={"findings": doctor.by_weight(findings.values())})


def _small_files(looked: _Look) -> Path:
    """A folder with the base's configuration and tokenizer; of a repository that is not here, only those come."""
    base_model = looked.config.base_model
    folder = Path(resolve_base_model(base_model)).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if folder.exists() or base_model.startswith((".", "/", "~")) or base_model.count("/") != 1:
        raise RunError("worker.error_base_model_missing", base_model=base_model, folder=folder)
    repository = looked.known["repository"]
    with hub.failures_told_apart(repository):
        if (whole := hub.cached_snapshot(repository)) is not None:
            return whole
        if hub.constants.HF_HUB_OFFLINE:
            raise RunError("hub.error_offline_wanted", repo=repository)
        looked.known["download_bytes"] = hub.download_size(repository)
        return Path(hub.snapshot_download(repository, allow_patterns=list(SMALL_FILES)))


def _encode(looked: _Look, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Lengths, losses and looks of what is trained, from the very sequences that the worker would make."""
    config = looked.config
    with _sample(looked.folder) as (folder, share):
        if config.method != "cpt":
            looked.known |= _longest_examples(tokenizer, folder.read_examples())
        try:
            mixed = mixture.load(folder, config, tokenizer)
        except RunError as error:
            if error.code == "worker.error_all_truncated":
                looked.known["untrained"] = looked.known["examples"]
            raise
    ids, labels = mixed.train["input_ids"], mixed.train["labels"]
    lengths = [len(sequence) for sequence in ids]
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__)
    # The middle one, a short one and the longest: where something is cut or padded, one of them shows it.
    shown = dict.fromkeys(by_length[place] for place in (len(lengths) // 2, len(lengths) // 10, -1))
    sequences = round(mixed.sequences / share)
    counted = {
        name: getattr(mixed, name) for name in ("replayed", "blocks", "trained_tokens", "truncated", "untrained")
    }
    looked.known |= {name: round(number / share) for name, number in counted.items()}
    if share < 1 and looked.folder.replay.exists():  # of few lines one is drawn at least
        with looked.folder.replay.open("rb") as lines:
            looked.known["replayed"] = min(looked.known["replayed"], sum(1 for _ in lines))
    looked.known |= {
        "encoded_share": share,
        "sequences": sequences,
        "steps": planned_steps(config, sequences),
        "tokens": round(sum(lengths) / len(lengths) * sequences),
        "longest_sequence": max(lengths),
        "useful_token_share": mixed.useful_token_share,
        "histogram": _histogram(lengths),
        "shown": [rendering.render(tokenizer, ids[place], labels[place]) for place in shown],
    }


def _longest_examples(tokenizer: "PreTrainedTokenizerBase", examples: list[TrainingExample]) -> dict[str, Any]:
    """How long examples are before they are cut, and what of the format they break, told by the longest few."""
    longest = sorted(examples, key=lambda example: -len(example.question + example.answer))[:LOOKED_AT]
    encoded = [data.encode(tokenizer, example.messages(), UNCUT) for example in longest]
    return {
        "longest": max((len(one.input_ids) for one in encoded), default=None),
        "lint": sorted(set().union(*(rendering.lint(tokenizer, one) for one in encoded))),
    }


@contextmanager
def _sample(folder: RunFolder) -> Iterator[tuple[RunFolder, float]]:
    """The run's data, or a copy with a part of it, whole facts and documents each, and which part that is."""
    total = sum(path.stat().st_size for path in _data_files(folder))
    if total <= MOST_BYTES:
        yield folder, 1.0
        return
    chosen = random.Random(0)
    share = MOST_BYTES / total
    with tempfile.TemporaryDirectory(dir=folder.root) as temporary:
        part = RunFolder(Path(temporary))
        shutil.copyfile(folder.config, part.config)
        examples = folder.read_examples()
        facts = sorted({example.fact_id for example in examples if example.split == "train"})
        kept = set(chosen.sample(facts, max(1, round(share * len(facts))))) if facts else set()
        lines = [example.model_dump_json() + "\n" for example in examples if example.fact_id in kept]
        part.examples.write_text("".join(lines), encoding="utf-8")
        for path in _data_files(folder)[1:]:
            _draw(path, part.root / path.name, share, chosen)
        yield part, share


def _draw(whole: Path, part: Path, share: float, chosen: random.Random) -> None:
    """Copy a share of the lines; where none is drawn, the first, an article cut to the share of the file."""
    with whole.open(encoding="utf-8") as lines, part.open("w", encoding="utf-8") as drawn:
        drawn.writelines(line for line in lines if chosen.random() < share)
    if part.stat().st_size:
        return
    with whole.open(encoding="utf-8") as lines:
        first = next(lines)
    known = json.loads(first)
    if "text" in known:
        kept = share * whole.stat().st_size / len(first.encode())
        known["text"] = known["text"][: max(1, round(kept * len(known["text"])))]
    part.write_text(json.dumps(known, ensure_ascii=False) + "\n", encoding="utf-8")


def _data_files(folder: RunFolder) -> list[Path]:
    """Examples first; the others where they are."""
    return [folder.examples, *(path for path in (folder.documents, folder.replay) if path.exists())]


def _histogram(lengths: list[int]) -> list[Bin]:
    least = min(lengths)
    width = (max(lengths) - least) // MOST_BINS + 1
    counts = Counter((length - least) // width for length in lengths)
    ends = range(least, max(lengths) + 1, width)
    return [Bin(start=start, end=start + width, number=counts[place]) for place, start in enumerate(ends)]


def _plan(looked: _Look, base: Path) -> None:
    """What gets an adapter, and the memory and disk that all of it takes."""
    config = looked.config
    model = architecture.empty_model(base, config.base_model)
    planned = lora.plan_for(model, config.target_modules, config.lora_r)
    trainable = sum(planned.trainable.values())
    shape = memory.shape_of(model)
    device_bytes, free_bytes = (video_memory() if looked.on_gpu else _main_memory()) or (None, None)
    load = memory.Load(
        trainable=trainable,
        optimizer=config.optim,
        tokens=config.per_device_train_batch_size * looked.known.get("longest_sequence", config.max_length),
        engine=looked.engine,
        on_gpu=looked.on_gpu,
        device_bytes=device_bytes or 0,
    )
    estimated = memory.estimate(shape, load)
    looked.known |= {
        "architecture": model.config.model_type,
        "modules": planned.modules,
        "available": planned.targets.available,
        "unmatched": planned.targets.unmatched,
        "closed_experts": len(planned.targets.closed),
        "fused_experts": bool(planned.targets.parameters),
        "trainable_parameters": trainable,
        "four_bit_share": planned.four_bit_share,
        "memory": estimated,
        "device_bytes": device_bytes,
        "free_bytes": free_bytes,
        "disk_bytes": looked.known.get("download_bytes", 0)
        + KEPT_CHECKPOINTS * (trainable * 4 + estimated.optimizer)
        + trainable * 4,
        "disk_free_bytes": shutil.disk_usage(looked.folder.root).free,
    }


def _main_memory() -> tuple[int, int]:
    machine = psutil.virtual_memory()
    return machine.total, machine.available


def main(arguments: list[str]) -> int:
    """Write preflight.json into the run folder."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", stream=sys.stdout)
    folder = RunFolder(Path(arguments[0]).resolve())
    replace_text(folder.preflight, look(folder).model_dump_json(indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
