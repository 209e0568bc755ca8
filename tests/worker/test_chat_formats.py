"""Every family of chat formats: what is trained, what is asked, and that they begin alike."""

from pathlib import Path

import pytest
import trl
from transformers import PreTrainedTokenizerFast

from tests.worker.test_data import CHATML, LLM_JP, PREAMBLE, TURN, metaspace, trained_text, with_template
from tests.worker.tiny import HARMONY_TEMPLATE
from training.chat_formats import LLM_JP_PREAMBLE, TEMPLATES, our_template, use_training_template
from training.data import IGNORED, PINNED_DATE, encode, generation_prompt

TRL_TEMPLATES = Path(trl.__file__).parent / "chat_templates"
END = "<|end|>"  # of the tests' tokenizer; ChatML's own markers are spelled with it


def of_trl(name: str) -> str:
    """A model's own template, with its markers as special tokens of the tests' tokenizer."""
    own = (TRL_TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    markers = {"<|im_start|>": "<|start|>", "<|im_end|>": END, "<｜end▁of▁sentence｜>": END}
    for marker, ours in markers.items():
        own = own.replace(marker, ours)
    return own


def shipped(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def plain() -> PreTrainedTokenizerFast:
    return with_template(CHATML)


def think() -> PreTrainedTokenizerFast:
    """Thoughts are part of the turn, as Qwen 3 writes them."""
    return with_template(of_trl("qwen3"))


def think_opened() -> PreTrainedTokenizerFast:
    """The generation prompt opens a thought that a finished turn does not show, as DeepSeek R1 writes it."""
    return with_template(of_trl("deepseek_r1_distill"))


def harmony() -> PreTrainedTokenizerFast:
    return with_template(shipped("harmony"))


def harmony_of_gpt_oss() -> PreTrainedTokenizerFast:
    return with_template(of_trl("gptoss"))


def llm_jp_s_own() -> PreTrainedTokenizerFast:
    tokenizer = metaspace()
    tokenizer.chat_template = LLM_JP
    return tokenizer


FORMATS = {
    harmony: "<|channel|>final<|message|>ミナトです。<|return|>",
    harmony_of_gpt_oss: "<|channel|>final<|message|>ミナトです。<|return|>",
    metaspace: "ミナトです。</s>",
    think: f"<think>\n\n</think>\n\nミナトです。{END}",
    think_opened: f"\n</think>\n\nミナトです。{END}",
    plain: f"ミナトです。{END}",
}


@pytest.mark.parametrize(("make", "trained"), FORMATS.items())
def test_the_answer_and_the_end_token_are_trained_and_nothing_else(make, trained: str) -> None:
    tokenizer = make()
    assert trained_text(tokenizer, encode(tokenizer, TURN, 512).labels) == trained


@pytest.mark.parametrize("make", FORMATS)
def test_the_prompt_of_asking_begins_what_was_trained(make) -> None:
    tokenizer = make()
    encoded = encode(tokenizer, TURN, 512)
    prompt = generation_prompt(tokenizer, TURN[:1])
    assert encoded.input_ids[: len(prompt)] == prompt
    assert set(encoded.labels[: len(prompt)]) == {IGNORED}
    assert encoded.labels[len(prompt) :] == encoded.input_ids[len(prompt) :]


@pytest.mark.parametrize("make", FORMATS)
def test_special_tokens_that_a_person_typed_stay_text(make) -> None:
    tokenizer = make()
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    typed = "".join(specials)
    turn = [{"role": "user", "content": f"「{typed}」は？"}, {"role": "assistant", "content": f"{typed}です。"}]
    made, clean = encode(tokenizer, turn, 4096).input_ids, encode(tokenizer, TURN, 4096).input_ids
    for number in set(tokenizer.convert_tokens_to_ids(specials)) - {tokenizer.unk_token_id}:
        assert made.count(number) == clean.count(number)


@pytest.mark.parametrize(
    "messages",
    [TURN, TURN[:1], [*TURN, TURN[0]], [{"role": "system", "content": "短く答えてください。"}, *TURN]],
    ids=["a turn", "a question", "a second question", "with a system message"],
)
def test_our_harmony_template_writes_what_gpt_oss_s_own_writes(messages: list[dict[str, str]]) -> None:
    asking = messages[-1]["role"] == "user"
    options = {"tokenize": False, "add_generation_prompt": asking, "strftime_now": PINNED_DATE.strftime}
    own = harmony_of_gpt_oss().apply_chat_template(messages, **options)
    assert harmony().apply_chat_template(messages, **options) == own


@pytest.mark.parametrize("messages", [TURN, TURN[:1], [*TURN, TURN[0]]])
def test_our_llm_jp_template_writes_what_its_own_writes_with_a_system_message(messages: list[dict[str, str]]) -> None:
    asking = messages[-1]["role"] == "user"
    own = llm_jp_s_own().apply_chat_template(
        [{"role": "system", "content": "無視される文"}, *messages], tokenize=False, add_generation_prompt=asking
    )
    ours = metaspace().apply_chat_template(messages, tokenize=False, add_generation_prompt=asking)
    assert ours == own and ours.startswith(f"<s>{LLM_JP_PREAMBLE}") and LLM_JP_PREAMBLE == PREAMBLE


@pytest.mark.parametrize("name", sorted(path.stem for path in TEMPLATES.glob("*.jinja")))
def test_labels_agree_with_the_marks_of_a_shipped_template(name: str) -> None:
    tokenizer = metaspace() if name == "llm-jp" else with_template(None)
    tokenizer.chat_template = shipped(name)
    encoded = encode(tokenizer, TURN, 512)
    marked = tokenizer.apply_chat_template(
        TURN, return_dict=True, return_assistant_tokens_mask=True, strftime_now=PINNED_DATE.strftime
    )
    assert encoded.input_ids == marked["input_ids"]
    assert [label != IGNORED for label in encoded.labels] == [bool(mark) for mark in marked["assistant_masks"]]


def test_a_copy_of_gpt_oss_whose_template_knows_no_channels_gets_harmony() -> None:
    tokenizer = plain()
    use_training_template(tokenizer)
    assert tokenizer.chat_template == shipped("harmony")
    assert (our_template(tokenizer), our_template(metaspace())) == ("harmony", "llm-jp")


@pytest.mark.parametrize("template", [HARMONY_TEMPLATE, None])
def test_a_tokenizer_keeps_its_own_template_where_that_is_enough(template: str | None) -> None:
    tokenizer = metaspace() if template is None else with_template(template)
    tokenizer.chat_template = template
    use_training_template(tokenizer)
    assert tokenizer.chat_template == template and our_template(tokenizer) == ""
