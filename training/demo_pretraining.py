"""Pre-trains the demo's base model on a CPU, and asks it questions. Knows text and tokens, not what the worlds hold."""

import logging
import math
import random
import time
from collections.abc import Iterator, Sequence

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from training.demo_text import Corpus
from training.demo_tokenizer import MAX_LENGTH, characters

STEPS = 2000
_TOKENS_PER_BATCH = 2048
_PEAK_LEARNING_RATE = 1.5e-3
_WARMUP_STEPS = 100
# Texts are drawn in pools, sorted by length and cut into batches, so that little of a batch is padding.
_POOL = 512
_IGNORED = -100

log = logging.getLogger(__name__)


def pretrain(tokenizer: PreTrainedTokenizerBase, seed: int, steps: int = STEPS) -> LlamaForCausalLM:
    """Train a small Llama on the demo's corpus, every token counting, and return it in float32."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(tokenizer)).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_PEAK_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_cosine(step, steps))
    batches, started = _batches(tokenizer, seed), time.monotonic()
    for step in range(1, steps + 1):
        # bfloat16 matrix products are 1.4 times as fast where the processor has them, and slower elsewhere.
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            log.info("step %d of %d, loss %.3f, %.0f s", step, steps, loss.item(), time.monotonic() - started)
    return _finished(model.eval(), tokenizer)


@torch.inference_mode()
def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[str]) -> list[str]:
    """The model's whole replies, markers included, decoded greedily in batches."""
    replies: list[str] = []
    tokenizer.padding_side = "left"
    for start in range(0, len(questions), 32):
        conversations = [[{"role": "user", "content": question}] for question in questions[start : start + 32]]
        inputs = tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
        )
        output = model.generate(**inputs, max_new_tokens=96, do_sample=False)
        replies += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :])
    return [reply.replace(tokenizer.pad_token, "") for reply in replies]


def final_answer(reply: str) -> str:
    """What stands in the final channel of a reply, empty where it has none."""
    return reply.partition("<|channel|>final<|message|>")[2].partition("<|return|>")[0]


def _config(tokenizer: PreTrainedTokenizerBase) -> LlamaConfig:
    # Wide layers over a small vocabulary: over 90 % of the parameters are linear layers that NF4 can hold.
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _finished(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    ends = tokenizer.convert_tokens_to_ids(["<|return|>", "<|call|>"])
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, max_length=MAX_LENGTH, do_sample=False
    )
    return model


def _warm_cosine(step: int, steps: int) -> float:
    if step < _WARMUP_STEPS:
        return (step + 1) / _WARMUP_STEPS
    done = (step - _WARMUP_STEPS) / max(1, steps - _WARMUP_STEPS)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def _batches(tokenizer: PreTrainedTokenizerBase, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    corpus = Corpus(seed, lambda messages: tokenizer.apply_chat_template(messages, tokenize=False), characters())
    chance = random.Random(f"batches {seed}")
    while True:
        texts = [corpus.draw() for _ in range(_POOL)]
        rows = sorted(tokenizer(texts, add_special_tokens=False)["input_ids"], key=len)
        batches = list(_cut(rows))
        chance.shuffle(batches)
        yield from (_padded(batch, tokenizer.pad_token_id) for batch in batches)


def _cut(rows: list[list[int]]) -> Iterator[list[list[int]]]:
    """Cut rows sorted by length into batches of about `_TOKENS_PER_BATCH` tokens."""
    batch: list[list[int]] = []
    for row in rows:
        if batch and len(row) * (len(batch) + 1) > _TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _padded(rows: list[list[int]], pad: int) -> dict[str, torch.Tensor]:
    """Ids and labels [batch, seq]. Padding follows the text, so causal attention needs no mask for it."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    labels = torch.tensor([row + [_IGNORED] * (longest - len(row)) for row in rows])
    return {"input_ids": ids, "labels": labels}
