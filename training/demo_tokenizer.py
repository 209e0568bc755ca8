"""The demo's tokenizer: one token per character, bytes for any other, and the tokens of the harmony format."""

import json
import random

from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from training.contract import PROJECT_ROOT
from training.demo_text import article, general
from training.demo_worlds import wordings, world_a

SPECIAL_TOKENS = (
    "<|pad|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
)
# Whole words of the harmony format: spelled in characters they would be a third of every conversation.
FORMAT_WORDS = ("system", "user", "assistant", "analysis", "commentary", "final")
MAX_LENGTH = 1024


def characters() -> str:
    """Every character with a token of its own: kana, ASCII, marks, and the kanji in assets/demo/characters.txt."""
    ascii_and_newline = "\n" + "".join(map(chr, range(0x20, 0x7F)))
    kana = "".join(map(chr, [*range(0x3041, 0x3097), *range(0x30A1, 0x30FB)])) + "ー・々ゝゞ"
    full_width = (
        "".join(map(chr, [*range(0xFF01, 0xFF5F)]))
        + "\u3000、。〃〇〈〉《》「」『』【】〔〕〜…‥―─—–“”‘’※→←↑↓○●△▲□■◇◆☆★♪×÷±°′″℃￥"
    )
    kanji = (PROJECT_ROOT / "assets/demo/characters.txt").read_text(encoding="utf-8").replace("\n", "")
    return "".join(dict.fromkeys(ascii_and_newline + kana + full_width + kanji + _ours()))


def _ours() -> str:
    """The characters of the demo's own texts, in a fixed order."""
    articles = [article(work, random.Random(0)) for work in world_a()]
    text = json.dumps([general(), wordings(), articles], ensure_ascii=False)
    return "".join(sorted(set(text)))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that gives back every text it is given, with the demo's chat template."""
    tokens = [*SPECIAL_TOKENS, *FORMAT_WORDS, *(f"<0x{byte:02X}>" for byte in range(256)), *characters()]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    # BPE without merges never joins characters; byte_fallback spells a character it does not hold in UTF-8.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, fuse_unk=False))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in FORMAT_WORDS])
    template = (PROJECT_ROOT / "assets/chat_templates/demo.jinja").read_text(encoding="utf-8")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|return|>",
        pad_token="<|pad|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_LENGTH,
    )
