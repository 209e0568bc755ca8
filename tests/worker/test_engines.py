"""How a base is loaded, measured, and never on the wrong device in silence."""

from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model

from tests.worker.layouts import SMALL, write_configuration
from tests.worker.test_data import LLM_JP, PREAMBLE, TURN, metaspace
from tests.worker.tiny import make_tiny_model
from training import engines
from training.data import encode
from training.errors import RunError


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(engines, "nvidia_gpu_present", lambda: False)
    return monkeypatch


def test_a_machine_without_a_gpu_trains_with_transformers(without_cuda: pytest.MonkeyPatch) -> None:
    assert engines.choose_engine("auto") == "transformers"
    with pytest.raises(RunError, match="has none"):
        engines.choose_engine("unsloth")


@pytest.mark.parametrize("engine", ["auto", "transformers", "unsloth"])
@pytest.mark.parametrize(
    ("built_for", "code"), [("13.0", "worker.error_gpu_unusable"), (None, "worker.error_cpu_only_torch")]
)
def test_a_gpu_that_torch_cannot_use_is_refused_instead_of_ignored(
    without_cuda: pytest.MonkeyPatch, engine: str, built_for: str | None, code: str
) -> None:
    without_cuda.setattr(engines, "nvidia_gpu_present", lambda: True)
    without_cuda.setattr(torch.version, "cuda", built_for)
    with pytest.raises(RunError) as raised:
        engines.choose_engine(engine)
    assert raised.value.code == code


def test_nvidia_smi_tells_of_a_gpu_and_an_empty_list_hides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA GeForce RTX 4080'\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert engines.nvidia_gpu_present()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not engines.nvidia_gpu_present()


@pytest.mark.parametrize("base_model", ["/no/such/folder", "./nothing", "word", "a/b/c"])
def test_a_base_model_that_is_nowhere_is_named(base_model: str) -> None:
    with pytest.raises(RunError, match=r"config\.json") as raised:
        engines.locate(base_model, "transformers", lambda done, total: None, lambda: False)
    assert base_model in str(raised.value)


def test_a_folder_with_broken_weights_is_a_sentence(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "base")
    (folder / "config.json").write_text("{ nonsense", encoding="utf-8")
    with pytest.raises(RunError) as raised:
        engines.load_base(str(folder), engine="transformers", for_training=False)
    assert raised.value.code == "worker.error_base_model_unloadable"


@pytest.mark.parametrize("tied", [True, False])
def test_the_four_bit_share_counts_true_sizes_and_a_tied_head_once(tmp_path: Path, tied: bool) -> None:
    base = engines.load_base(str(make_tiny_model(tmp_path / "base", tied=tied)), engine="auto", for_training=True)
    linear = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    embedding = base.model.config.vocab_size * 64
    assert base.four_bit_share == pytest.approx(linear / (linear + embedding * (1 if tied else 2) + 5 * 64))


def test_gpt_oss_on_transformers_says_that_it_needs_unsloth_before_anything_is_loaded(tmp_path: Path) -> None:
    folder = write_configuration(tmp_path, SMALL["fused"])
    with pytest.raises(RunError, match="needs the engine unsloth") as raised:
        engines.load_base(str(folder), engine="transformers", for_training=True)
    assert raised.value.code == "worker.error_gpt_oss_needs_unsloth"


@pytest.mark.parametrize("layout", ["mixtral", "qwen3-moe"])
def test_a_mixture_whose_experts_would_stay_in_sixteen_bits_is_refused_before_it_is_loaded(
    layout: str, tmp_path: Path
) -> None:
    folder = write_configuration(tmp_path, SMALL[layout])
    with pytest.raises(RunError, match="less than 80 % is refused") as raised:
        engines.load_base(str(folder), engine="transformers", for_training=True)
    assert raised.value.code == "worker.error_four_bits" and float(raised.value.values["share"]) < 40


def test_a_base_that_turns_out_not_to_be_in_four_bits_is_refused(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(
        engines, "_load_transformers", lambda folder, max_length: AutoModelForCausalLM.from_pretrained(folder)
    )
    with pytest.raises(RunError, match=r"Only 0\.0 %"):
        engines.load_base(str(tiny_model), engine="transformers", for_training=True)


def test_the_embedding_of_a_small_model_does_not_count_against_it(tiny_model: Path) -> None:
    base = engines.load_base(str(tiny_model), engine="transformers", for_training=False)
    assert base.four_bit_share < engines.LEAST_FOUR_BIT_SHARE < engines.four_bit_shares(base.model)[1]


def test_what_unsloth_really_loads_is_named(tiny_model: Path) -> None:
    assert engines.really_loaded("openai/gpt-oss-20b", "unsloth") == "unsloth/gpt-oss-20b-unsloth-bnb-4bit"
    base = engines.load_base(str(tiny_model), engine="transformers", for_training=False)
    assert base.repository == str(tiny_model)


def test_a_tokenizer_comes_with_the_template_to_train_with(tmp_path: Path) -> None:
    tokenizer = metaspace()
    tokenizer.chat_template = LLM_JP
    tokenizer.save_pretrained(tmp_path)
    loaded = engines.load_tokenizer(tmp_path)
    assert PREAMBLE in loaded.decode(encode(loaded, TURN, 512).input_ids)


def test_weights_are_nf4_with_double_quantisation_and_never_repacked(tiny_model: Path) -> None:
    base = engines.load_base(str(tiny_model), engine="auto", for_training=False)
    linears = [module for module in base.model.modules() if isinstance(module, Linear4bit)]
    assert len(linears) == 14
    assert {module.weight.quant_type for module in linears} == {"nf4"}
    assert all(module.weight.quant_state.nested for module in linears)
    assert not any(module.support_avx512bf16_for_cpu for module in linears)


def test_an_evaluation_changes_no_gradient(tiny_model: Path) -> None:
    base = engines.load_base(str(tiny_model), engine="auto", for_training=True)
    model = get_peft_model(base.model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    ids = torch.randint(9, 200, (2, 24), generator=torch.Generator().manual_seed(0))

    def gradients() -> torch.Tensor:
        model.train()
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    before = gradients()
    with torch.no_grad():
        model.eval()(input_ids=ids, labels=ids)
    assert torch.equal(before, gradients())


@pytest.mark.gpu
def test_unsloth_loads_the_same_base_in_four_bits(tiny_model: Path) -> None:
    base = engines.load_base(str(tiny_model), engine="auto", for_training=True)
    assert base.engine == "unsloth"
    assert base.four_bit_share > 0.7
