"""What the model sees, shown to people: whole characters, special tokens apart, and what is wrong with a mask."""

from transformers import PreTrainedTokenizerFast

from tests.worker.tiny import make_tokenizer
from training import data
from training.data import IGNORED, Encoded
from training.rendering import MOST_TOKENS, lint, render

CONVERSATION = [
    {"role": "user", "content": "「蜉蝣峠」の主人公は誰ですか？"},
    {"role": "assistant", "content": "鸚鵡のヰタです。𠮷野家ではありません。"},
]
TOKENIZER = make_tokenizer()


def encoded(tokenizer: PreTrainedTokenizerFast = TOKENIZER, *, content: str = "") -> Encoded:
    conversation = [CONVERSATION[0], CONVERSATION[1] | ({"content": content} if content else {})]
    return data.encode(tokenizer, conversation, 512)


def spans(example: Encoded) -> tuple[str, str]:
    """The text that is not trained, and the text that is; special tokens are left out."""
    pieces = [piece for piece in render(TOKENIZER, example.input_ids, example.labels).pieces if not piece.special]
    untrained = "".join(piece.text for piece in pieces if not piece.trained)
    return untrained, "".join(piece.text for piece in pieces if piece.trained)


def test_a_character_of_several_tokens_is_never_cut() -> None:
    example = encoded()
    assert len(example.input_ids) > len(CONVERSATION[0]["content"] + CONVERSATION[1]["content"]) * 2
    untrained, trained = spans(example)
    assert CONVERSATION[0]["content"] in untrained
    assert trained == "final" + CONVERSATION[1]["content"]


def test_a_sequence_that_ends_within_a_character_shows_the_characters_before_it() -> None:
    example = encoded()
    end = len(example.input_ids) - 2  # without the end token and the last byte of the last character
    _, trained = spans(Encoded(example.input_ids[:end], example.labels[:end], truncated=True))
    assert trained == "final" + CONVERSATION[1]["content"][:-1]


def test_special_tokens_stand_apart_with_what_is_trained_of_them() -> None:
    example = encoded()
    pieces = render(TOKENIZER, example.input_ids, example.labels).pieces
    special = [(piece.text, piece.trained) for piece in pieces if piece.special]
    assert special[-4:] == [
        ("<|start|>", False),
        ("<|channel|>", True),
        ("<|message|>", True),
        ("<|return|>", True),
    ]


def test_a_special_token_that_a_person_typed_is_text() -> None:
    example = encoded(content="<|return|>です")
    pieces = render(TOKENIZER, example.input_ids, example.labels).pieces
    assert "<|return|>です" in "".join(piece.text for piece in pieces if not piece.special)


def test_a_long_sequence_says_how_much_of_it_is_not_shown() -> None:
    rendered = render(TOKENIZER, [20] * (MOST_TOKENS + 7), [IGNORED] * (MOST_TOKENS + 7))
    assert rendered.left_out == 7 and rendered.tokens == MOST_TOKENS + 7


def test_a_good_conversation_breaks_no_rule() -> None:
    assert lint(TOKENIZER, encoded()) == set()


def test_a_mask_that_begins_after_the_channel_header_is_found() -> None:
    example = encoded()
    header = example.input_ids.index(TOKENIZER.convert_tokens_to_ids("<|channel|>"))
    labels = [IGNORED] * (header + 3) + example.labels[header + 3 :]
    assert lint(TOKENIZER, Encoded(example.input_ids, labels, truncated=False)) == {"no_channel_header"}


def test_an_answer_in_the_analysis_and_one_without_an_end_are_found() -> None:
    example = encoded()
    analysis = TOKENIZER("<|channel|>analysis<|message|>", add_special_tokens=False)["input_ids"]
    ids = [*example.input_ids[:-1], *analysis]
    broken = lint(TOKENIZER, Encoded(ids, [*example.labels[:-1], *analysis], truncated=False))
    assert broken == {"trains_analysis"}
    assert lint(TOKENIZER, Encoded(ids[:-4], example.labels[: len(ids) - 4], truncated=False)) == {"no_end_token"}


def test_a_cut_example_is_told_by_its_number_and_not_as_a_broken_format() -> None:
    example = encoded()
    assert lint(TOKENIZER, Encoded(example.input_ids[:30], example.labels[:30], truncated=True)) == set()
