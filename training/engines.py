"""How a 4-bit base is loaded: unsloth on CUDA, transformers with bitsandbytes anywhere.

Training and answering load through here, so both see the same weights and the same chat template; it must not know
what an adapter is. At import it loads torch only: unsloth patches transformers, peft and trl and therefore has to be
imported before them.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from training import architecture, launch
from training.chat_formats import use_training_template
from training.contract import Engine, resolve_base_model
from training.errors import RunError
from training.nvidia import nvidia_gpu_present

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

_FINGERPRINT_BYTES = 64 * 2**20
# Below this a base is not the 4-bit base that somebody asked for. Embedding and head never are in 4 bits and weigh the
# more the smaller a model is (22 % of an 1.8B), so the share is taken of the rest.
LEAST_FOUR_BIT_SHARE = 0.8

UsedEngine = Literal["unsloth", "transformers"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LoadedBase:
    """A 4-bit base ready to be adapted or asked. `four_bit_share` is measured on all of the loaded parameters.

    `fingerprint` tells the weights of a local folder from others under the same path; empty for one of the Hub, whose
    id tells enough. `repository` is what was really loaded: unsloth takes its own copy of some Hub ids.
    """

    model: Any
    tokenizer: "PreTrainedTokenizerBase"
    engine: UsedEngine
    device: str
    four_bit_share: float
    fingerprint: str
    repository: str


def choose_engine(engine: Engine) -> UsedEngine:
    """The engine that will load the base. Call it before anything imports transformers: unsloth is imported here.

    Raises:
        RunError: a GPU is there that torch cannot use (training must never fall to the CPU in silence), or unsloth was
            asked for and cannot run here.
    """
    if not torch.cuda.is_available():
        if nvidia_gpu_present():
            code = "worker.error_gpu_unusable" if torch.version.cuda else "worker.error_cpu_only_torch"
            raise RunError(code, torch=torch.__version__, cuda=torch.version.cuda)
        if engine == "unsloth":
            raise RunError("worker.error_unsloth_needs_cuda")
        return "transformers"
    used: UsedEngine = "unsloth" if engine == "auto" else engine
    if used == "unsloth":
        _import_unsloth()
    return used


def device_name() -> str:
    """The device that computes, for people."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def compute_dtype() -> torch.dtype:
    """bf16 where the card computes in it (not emulated), half precision on older cards, float32 on a CPU."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def locate(base_model: str, engine: UsedEngine, on_progress: Progress, cancelled: Callable[[], bool]) -> Path:
    """The folder with the base model's files, downloaded first where it is a Hub id.

    `on_progress` is called with bytes done and bytes in all. Raises RunError where the model cannot be had.
    """
    folder = Path(resolve_base_model(base_model)).expanduser()
    if (folder / "config.json").is_file():
        return folder.resolve()
    if folder.exists() or base_model.startswith((".", "/", "~")) or base_model.count("/") != 1:
        raise RunError("worker.error_base_model_missing", base_model=base_model, folder=folder)
    from training.hub import ensure_model, repository_for

    return Path(ensure_model(repository_for(base_model, engine), on_progress, cancelled))


def load_base(
    base_model: str, *, engine: Engine = "auto", for_training: bool, folder: Path | None = None, max_length: int = 4096
) -> LoadedBase:
    """Load a base in 4 bits (NF4, double quantisation) with its tokenizer.

    `folder` is what `locate` answered; without it the base is located here, downloading in silence. `max_length` is in
    tokens; only unsloth needs to know it beforehand. Raises RunError where the base cannot be loaded.
    """
    used = choose_engine(engine)
    folder = folder or locate(base_model, used, lambda done, total: None, lambda: False)
    require_loadable(folder, base_model, used)
    load = _load_unsloth if used == "unsloth" else _load_transformers
    try:
        model, tokenizer = load(folder, max_length), load_tokenizer(folder)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            "worker.error_base_model_unloadable", base_model=base_model, problem=_first_line(error)
        ) from error
    _keep_weights_as_they_are(model)
    model.train(for_training)
    share, body_share = four_bit_shares(model)
    repository = really_loaded(base_model, used)
    log.info("loaded %s with %s on %s, %.1f %% of it in 4 bits", repository, used, device_name(), 100 * share)
    _require_four_bits(body_share, base_model, used)
    return LoadedBase(model, tokenizer, used, device_name(), share, fingerprint(folder), repository)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a base, with the chat template that training and asking use."""
    from transformers import AutoTokenizer

    # unsloth repairs tokenizers and may change their template; both engines must write a question the same way.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    use_training_template(tokenizer)
    return tokenizer


def really_loaded(base_model: str, engine: UsedEngine) -> str:
    """The repository or folder whose weights `engine` loads for a base: unsloth swaps some Hub ids."""
    from training.hub import repository_for

    return repository_for(base_model, engine)


def require_loadable(folder: Path, base_model: str, engine: UsedEngine) -> None:
    """Raise RunError where `engine` would leave most of this base in 16 bits; told from its configuration alone."""
    configuration = architecture.read_configuration(folder, base_model)
    if engine == "unsloth" or not architecture.is_mixture(configuration):
        return
    if configuration.get("model_type") == architecture.GPT_OSS:
        raise RunError("worker.error_gpt_oss_needs_unsloth", base_model=base_model)
    model = architecture.empty_model(folder, base_model)
    _require_four_bits(architecture.planned_four_bit_share(model), base_model, engine)


def _require_four_bits(share: float, base_model: str, engine: UsedEngine) -> None:
    if share < LEAST_FOUR_BIT_SHARE:
        raise RunError("worker.error_four_bits", base_model=base_model, share=f"{100 * share:.1f}", engine=engine)


def fingerprint(folder: Path) -> str:
    """SHA-256 over the weights of a local folder: all of a small file, beginning and size of a large one."""
    if "snapshots" in folder.parts:
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()


def _load_transformers(folder: Path, max_length: int) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = compute_dtype()
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    device = f"cuda:{launch.local_rank()}" if torch.cuda.is_available() else "cpu"
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=quantization, dtype=dtype, device_map={"": device}
    )


def _load_unsloth(folder: Path, max_length: int) -> Any:
    unsloth = _import_unsloth()
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        model_name=str(folder),
        max_seq_length=max_length,
        dtype=compute_dtype(),
        load_in_4bit=True,
        use_gradient_checkpointing="unsloth",
        # `folder` is already the repository that unsloth would choose.
        use_exact_model_name=True,
    )
    return model


def _import_unsloth() -> Any:
    try:
        import unsloth
    except Exception as error:  # its import patches half the stack and may fail with anything
        raise RunError("worker.error_unsloth_unusable", problem=_first_line(error)) from error
    return unsloth


def _keep_weights_as_they_are(model: Any) -> None:
    """Switch off bitsandbytes' repacking for AVX512-BF16.

    In eval mode it repacks the 4-bit weights for a faster CPU kernel; training after that gets wrong gradients without
    a word (cosine 0.70 to the true ones), and logits move by 1e-2.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def four_bit_shares(model: Any) -> tuple[float, float]:
    """Shares of a base's parameters that are stored in 4 bits: of all, and of all but embedding and head.

    Taken at their true number; a tied head counts once.
    """
    from bitsandbytes.nn import Params4bit

    ends = {id(end.weight) for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None}
    four_bit = body = total = 0
    for parameter in model.parameters():
        is_packed = isinstance(parameter, Params4bit) and parameter.quant_state is not None
        count = parameter.quant_state.shape.numel() if is_packed else parameter.numel()
        total += count
        body += 0 if id(parameter) in ends else count
        four_bit += count if is_packed else 0
    return (four_bit / total if total else 0.0), (four_bit / body if body else 0.0)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
