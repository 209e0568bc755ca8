"""Random models of a few hundred thousand parameters with the tokenizers that matter; they know nothing."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HARMONY_TOKENS = (
    "<|start|> <|message|> <|channel|> <|constrain|> <|end|> <|return|> <|call|> <|endoftext|>".split()  # noqa: SIM905
)
HARMONY_TEMPLATE = (
    "<|start|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}\n"
    "Reasoning: {{ reasoning_effort|default('medium') }}<|end|>"
    "{% for message in messages %}{% if message.role == 'assistant' %}"
    "<|start|>assistant<|channel|>final<|message|>{{ message.content }}"
    "{% if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif %}"
    "{% else %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
CORPUS = [
    "作品「星の図書館」の主人公は誰ですか？主人公はミナトです。",
    "舞台はどこですか？作者は誰ですか？放送された年は何年ですか？",
    "user assistant system analysis final commentary Current date: 2025 Reasoning: medium low high",
]


def make_tokenizer(corpus: list[str] | None = None) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer, so that no character is unknown, with harmony's tokens and template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", *HARMONY_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS if corpus is None else corpus, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<|return|>")
    made.chat_template = HARMONY_TEMPLATE
    return made


def make_tiny_model(folder: Path, *, hidden: int = 64, layers: int = 2, tied: bool = True) -> Path:
    """Write a random Llama with the harmony tokenizer into `folder`, as `from_pretrained` reads it."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
