"""Turns messages into token ids and labels; it must not know how a model is trained.

Training and answering write a conversation through this module, so the prompt of a question is the same ids in both.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from training.contract import TrainingExample
from training.errors import RunError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Messages = Sequence[Mapping[str, str]]

IGNORED = -100
# Some templates write today's date into the prompt: a model would be asked on another day than it was trained on, and
# evaluations would differ by day. gpt-oss's release day stands for every day.
PINNED_DATE = datetime(2025, 8, 5)
# Private-use characters: no template trims or escapes them.
_THOUGHT = "t"
_PLACEHOLDER = re.compile(f"\ue000(\\d+{_THOUGHT}?)\ue001")
# DeepSeek R1's template asks with an open thought, and leaves the thought out of a finished turn.
_OPENED_THOUGHT, _CLOSED_THOUGHT = "<think>\n", "\n</think>\n\n"


@dataclass(frozen=True)
class Encoded:
    """One example as the model sees it. `labels` are the ids that carry loss, -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]
    truncated: bool


@dataclass(frozen=True)
class EncodedExamples:
    """What `encode_examples` made, and what it had to cut; `places` tell which examples `rows` are made of."""

    rows: list[Encoded]
    places: list[int]
    truncated: int
    untrained: int

    @property
    def trained_tokens(self) -> int:
        """Tokens that carry loss in one pass."""
        return sum(label != IGNORED for row in self.rows for label in row.labels)


def generation_prompt(tokenizer: "PreTrainedTokenizerBase", messages: Messages, **template_kwargs: Any) -> list[int]:
    """Token ids that ask for the next assistant turn; special tokens typed into a message stay text."""
    return _tokenize(tokenizer, [_write(tokenizer, messages, asking=True, **template_kwargs)])[0]


def plain_ids(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts that people wrote: no special token is added, and one that they typed stays text."""
    return _tokenize(tokenizer, [[(text, True)] for text in texts])


def prompt_text(tokenizer: "PreTrainedTokenizerBase", messages: Messages) -> str:
    """The text that asks for the next assistant turn."""
    return "".join(text for text, _ in _write(tokenizer, messages, asking=True))


def encode(
    tokenizer: "PreTrainedTokenizerBase", messages: Messages, max_length: int, *, assistant_only_loss: bool = True
) -> Encoded:
    """Ids and labels of a conversation that ends with an assistant turn, cut after `max_length` tokens.

    Labels cover the last assistant turn as it is generated: everything after the generation prompt (so gpt-oss's
    channel header is learned) through the end token, without what a template writes after that. The ids begin with
    exactly the ids of `generation_prompt`.

    Raises:
        RunError: the template does not begin a finished turn the way it asks for one, or writes no end token.
    """
    return _encode_all(tokenizer, [messages], max_length, assistant_only_loss)[0]


def encode_examples(
    tokenizer: "PreTrainedTokenizerBase",
    examples: Sequence[TrainingExample],
    max_length: int,
    *,
    assistant_only_loss: bool = True,
) -> EncodedExamples:
    """Encode every example, leaving out those of which no trained token remains; the log says how many."""
    conversations = [example.messages() for example in examples]
    rows = _encode_all(tokenizer, conversations, max_length, assistant_only_loss)
    # A token is trained as the next one of another: the first never is.
    places = [place for place, row in enumerate(rows) if any(label != IGNORED for label in row.labels[1:])]
    truncated, untrained = sum(row.truncated for row in rows), len(rows) - len(places)
    if truncated:
        log.warning(
            "%d examples are longer than max_length %d and were cut; %d of them keep no answer and are not trained",
            truncated,
            max_length,
            untrained,
        )
    return EncodedExamples([rows[place] for place in places], places, truncated, untrained)


def _encode_all(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Messages], max_length: int, assistant_only_loss: bool
) -> list[Encoded]:
    prompts = [_write(tokenizer, messages[:-1], asking=True) for messages in conversations]
    wholes = [_write(tokenizer, messages, asking=False) for messages in conversations]
    answers = [_without_prefix(tokenizer, *both) for both in zip(wholes, prompts, strict=True)]
    # Together: a call for each text costs ten times as much as the tokenizing itself.
    ids = _tokenize(tokenizer, [*prompts, *wholes])
    encoded = []
    for prompt_ids, whole_ids, answer in zip(ids[: len(prompts)], ids[len(prompts) :], answers, strict=True):
        # Where a token would span the end of the prompt, the answer is tokenized alone: that is how it is generated.
        begins_alike = whole_ids[: len(prompt_ids)] == prompt_ids
        answer_ids = whole_ids[len(prompt_ids) :] if begins_alike else _tokenize(tokenizer, [answer])[0]
        answer_ids = _through_end_token(tokenizer, answer_ids)
        input_ids = prompt_ids + answer_ids
        labels = [IGNORED] * len(prompt_ids) + answer_ids if assistant_only_loss else list(input_ids)
        encoded.append(Encoded(input_ids[:max_length], labels[:max_length], truncated=len(input_ids) > max_length))
    return encoded


Segment = tuple[str, bool]  # a piece of the conversation, and whether a person typed it


def _write(
    tokenizer: "PreTrainedTokenizerBase", messages: Messages, *, asking: bool, **template_kwargs: Any
) -> list[Segment]:
    """The conversation as the template writes it, in pieces that know who wrote them."""
    template = _template(tokenizer)
    shapes = tuple((message["role"], bool(message.get("thinking"))) for message in messages)
    options = tuple(sorted(template_kwargs.items()))
    pieces = _skeleton(tokenizer, template, shapes, asking, options)
    # `re.split` with a group: template text at even places, what stands for a person's text at odd ones.
    segments = [(_text(messages, piece), True) if place % 2 else (piece, False) for place, piece in enumerate(pieces)]
    return [segment for segment in segments if segment[0]]


def _text(messages: Messages, placeholder: str) -> str:
    message = messages[int(placeholder.removesuffix(_THOUGHT))]
    return message["thinking" if placeholder.endswith(_THOUGHT) else "content"]


def _template(tokenizer: "PreTrainedTokenizerBase") -> str:
    if not tokenizer.chat_template:
        raise RunError("worker.error_no_chat_template", base_model=tokenizer.name_or_path)
    return tokenizer.get_chat_template()


@lru_cache(maxsize=64)
def _skeleton(
    tokenizer: "PreTrainedTokenizerBase",
    template: str,
    shapes: tuple[tuple[str, bool], ...],
    asking: bool,
    options: tuple[tuple[str, Any], ...],
) -> list[str]:
    """The template's own text between the messages; the same for every conversation of these roles.

    A template that knows no thinking leaves it out.
    """
    messages = []
    for number, (role, thinks) in enumerate(shapes):
        thought = f"\ue000{number}{_THOUGHT}\ue001"
        # gpt-oss's template calls it thinking, Qwen's reasoning_content.
        thinking = {"thinking": thought, "reasoning_content": thought} if thinks else {}
        messages.append({"role": role, "content": f"\ue000{number}\ue001"} | thinking)
    written = tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        tokenize=False,
        add_generation_prompt=asking,
        # A variable of this name hides the function that transformers gives to templates.
        strftime_now=PINNED_DATE.strftime,
        **dict(options),
    )
    return _PLACEHOLDER.split(str(written))


def _without_prefix(tokenizer: "PreTrainedTokenizerBase", whole: list[Segment], prompt: list[Segment]) -> list[Segment]:
    """The pieces of `whole` after `prompt`, which must be its beginning.

    A thought that the prompt opens and the finished turn leaves out is closed at once.
    """
    last = len(prompt) - 1
    if last >= 0 and whole[:last] == prompt[:last]:
        asked, (written, typed) = prompt[last][0], whole[last]
        for begun, closing in ((asked, ""), (asked.removesuffix(_OPENED_THOUGHT), _CLOSED_THOUGHT)):
            if written.startswith(begun):
                rest = (closing + written[len(begun) :], typed)
                return [rest, *whole[last + 1 :]] if rest[0] else whole[last + 1 :]
    raise RunError("worker.error_template_differs", base_model=tokenizer.name_or_path)


def _through_end_token(tokenizer: "PreTrainedTokenizerBase", answer_ids: list[int]) -> list[int]:
    special = _special_ids(tokenizer)
    for place in range(len(answer_ids) - 1, -1, -1):
        if answer_ids[place] in special:
            return answer_ids[: place + 1]
    raise RunError("worker.error_template_endless", base_model=tokenizer.name_or_path)


@lru_cache(maxsize=8)
def _special_ids(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


@lru_cache(maxsize=8)
def _special_token_pattern(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    tokens = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted(tokens | set(tokenizer.all_special_tokens), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")" if longest_first else "(?!)()")


def _tokenize(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[Sequence[Segment]]) -> list[list[int]]:
    """Ids of each text as one piece; only special tokens that a person typed are cut out and read as plain text."""
    chunks = [list(_chunks(tokenizer, segments)) for segments in texts]
    ids: dict[tuple[str, bool], list[int]] = {}
    for is_special in (False, True):
        wanted = list({chunk: None for text in chunks for chunk in text if chunk[1] is is_special})
        if wanted:
            pieces = [piece for piece, _ in wanted]
            found = tokenizer(
                pieces,
                add_special_tokens=False,
                return_attention_mask=False,
                split_special_tokens=is_special,
                verbose=False,  # it would warn of every article that is longer than the model's context
            )
            ids |= zip(wanted, found["input_ids"], strict=True)
    for chunk, is_typed in ids:
        # A Unigram vocabulary holds its special tokens as words too.
        if is_typed and _special_ids(tokenizer).intersection(ids[chunk, is_typed]):
            letters = tokenizer(list(chunk), add_special_tokens=False)["input_ids"]
            ids[chunk, is_typed] = [number for letter in letters for number in letter]
    return [[number for chunk in text for number in ids[chunk]] for text in chunks]


def _chunks(tokenizer: "PreTrainedTokenizerBase", segments: Sequence[Segment]) -> Iterator[tuple[str, bool]]:
    """The text in runs, and whether each is a special token that a person typed."""
    waiting = ""
    for text, typed in segments:
        # With a group in the pattern, every other piece is a special token.
        for place, piece in enumerate(_special_token_pattern(tokenizer).split(text) if typed else [text]):
            if place % 2 == 0:
                waiting += piece
                continue
            if waiting:
                yield waiting, False
            yield piece, True
            waiting = ""
    if waiting:
        yield waiting, False
