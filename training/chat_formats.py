"""Which chat template a model is trained and asked with: its own, or ours where its own leads it astray.

It must not know what is said in a conversation.
"""

import logging
from typing import TYPE_CHECKING

from training.contract import PROJECT_ROOT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

TEMPLATES = PROJECT_ROOT / "assets" / "chat_templates"
LLM_JP, HARMONY = "llm-jp", "harmony"
# What llm-jp-3's instruct models were trained with. Their template writes it only where a system message is, and then
# ignores what that message says; ours always writes it.
LLM_JP_PREAMBLE = "以下は、タスクを説明する指示です。要求を適切に満たす応答を書きなさい。"
_HARMONY_TOKENS = {"<|start|>", "<|channel|>", "<|message|>", "<|return|>"}


def use_training_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Give the tokenizer the template to train and ask with; most keep their own.

    llm-jp's gets its preamble in every conversation. Some quantised copies of gpt-oss come with a template that knows
    no channels; the vocabulary tells them.
    """
    if not tokenizer.chat_template:
        return
    own, ours = tokenizer.get_chat_template(), ""
    if "### 指示:" in own and LLM_JP_PREAMBLE in own:
        ours = LLM_JP
    elif "<|channel|>" not in own and _HARMONY_TOKENS.issubset(tokenizer.get_added_vocab()):
        ours = HARMONY
    if ours:
        log.info("%s is written by our template %s", tokenizer.name_or_path, ours)
        tokenizer.chat_template = _written(ours)


def our_template(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The template of ours that stands in for the model's own; empty where it keeps that."""
    return next((name for name in (LLM_JP, HARMONY) if tokenizer.chat_template == _written(name)), "")


def _written(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
