"""Packed sequences: the same loss as apart, on the attention that is really used."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM, Qwen2Config, Qwen2ForCausalLM

from tests.worker.running import make_examples
from tests.worker.tiny import make_tokenizer
from training.data import encode_examples
from training.packing import Collator, Layout, Piece, layout_of, pack

SIZES = {
    "vocab_size": 600, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1,
    "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16,
}  # fmt: skip


def tiny_gpt_oss() -> GptOssForCausalLM:
    """transformers 5.17 hands gpt-oss's positions to no mask: packed texts see one another."""
    return GptOssForCausalLM(GptOssConfig(**SIZES, head_dim=16, num_local_experts=2, num_experts_per_tok=1))


@pytest.fixture(scope="module", params=["llama-sdpa", "llama-eager", "qwen-sliding"])
def model(request: pytest.FixtureRequest, tiny_model: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    if request.param == "qwen-sliding":
        return Qwen2ForCausalLM(Qwen2Config(**SIZES, use_sliding_window=True))
    attention = request.param.removeprefix("llama-")
    return AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=attention)


@pytest.fixture(scope="module")
def pieces() -> list[Piece]:
    examples = make_examples(4)
    encoded = encode_examples(make_tokenizer(), examples, 512)
    return [
        Piece.of(row.input_ids, row.labels, example.fact_id)
        for row, example in zip(encoded.rows, examples, strict=True)
    ]


def as_rows(sequences: list[list[Piece]]) -> list[dict[str, list[int]]]:
    return [
        {
            "input_ids": [number for piece in row for number in piece.input_ids.tolist()],
            "labels": [number for piece in row for number in piece.labels.tolist()],
            "seq_lengths": [len(piece.input_ids) for piece in row],
        }
        for row in sequences
    ]


def loss_and_gradient(model, sequences: list[list[Piece]], layout: Layout = "rows") -> tuple[float, torch.Tensor]:
    model.zero_grad()
    loss = model(**Collator(0, layout)(as_rows(sequences)), use_cache=False).loss
    loss.backward()
    return loss.item(), model.get_input_embeddings().weight.grad.clone()


def test_packed_and_unpacked_sequences_give_the_same_loss_and_gradient(model, pieces) -> None:
    apart = loss_and_gradient(model, [[piece] for piece in pieces])
    packed = pack(pieces, 200, seed=1)
    assert len(packed) <= len(pieces) / 2
    loss, gradient = loss_and_gradient(model, packed)
    assert loss == pytest.approx(apart[0], rel=1e-6)
    torch.testing.assert_close(gradient, apart[1], rtol=1e-4, atol=1e-6)
    assert loss_and_gradient(model, packed, "joined")[0] != pytest.approx(apart[0], rel=1e-6)


def test_a_model_that_keeps_packed_texts_apart_is_found_by_measuring(model) -> None:
    model.train()
    assert layout_of(model) == "rows"
    assert all(module.training for module in model.modules())


class WantsLengths(torch.nn.Module):
    """A model that heeds the lengths of one flat sequence only, as unsloth's Llama does."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.config, self.device, self.dtype = model, model.config, model.device, model.dtype

    def forward(self, position_ids=None, packed_seq_lengths=None, **batch):
        positions = {} if packed_seq_lengths is None else {"position_ids": position_ids}
        return self.model(**batch, **positions)


def test_a_model_that_sees_across_the_border_is_found_out(model) -> None:
    assert layout_of(tiny_gpt_oss()) == "joined"
    assert layout_of(WantsLengths(model)) == "flat"


def test_a_flat_batch_gives_the_same_loss(model, pieces) -> None:
    apart = loss_and_gradient(model, [[piece] for piece in pieces])
    batch = Collator(0, "flat")(as_rows(pack(pieces, 200, seed=1)))
    assert batch["packed_seq_lengths"].sum() == batch["input_ids"].shape[1]
    assert WantsLengths(model)(**batch, use_cache=False).loss.item() == pytest.approx(apart[0], rel=1e-6)


def test_sequences_are_full_whole_and_of_one_piece_a_subject() -> None:
    lengths = [number * 37 % 90 + 10 for number in range(600)]
    pieces = [Piece.of(range(length), range(length), number % 50) for number, length in enumerate(lengths)]
    rows = pack(pieces, 512, seed=3)
    assert sorted(len(piece.input_ids) for row in rows for piece in row) == sorted(lengths)
    assert all(len({piece.subject for piece in row}) == len(row) for row in rows)
    assert sum(lengths) / (512 * len(rows)) > 0.95
    assert all(piece.labels[0] == -100 for row in rows for piece in row)
