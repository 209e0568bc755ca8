"""Replies split into reasoning and answer: the reports' outputs, every slip that models make, and any chunking."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from training.reasoning import IdSplitter, Reply, TextSplitter, Vocabulary, detect_format, parse_ids, parse_text
from training.reasoning_parts import HARMONY_MARKERS, THINK_MARKERS, cut_at_markers

REPORTS = json.loads((Path(__file__).parent / "data" / "reports.json").read_text("utf-8"))
SPECIAL = {name: 256 + place for place, name in enumerate((*HARMONY_MARKERS, *THINK_MARKERS, "</s>"))}
VOCABULARY = Vocabulary(SPECIAL, lambda ids: bytes(ids).decode(errors="replace"))

A, F = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
NEXT = "<|end|><|start|>assistant"
# text, finished, answer, reasoning, state: written down before the parser was run on them
HARMONY = {
    "normal": (f"{A}We need X.{NEXT}{F}「ぱにぽに」<|return|>", True, "「ぱにぽに」", "We need X.", "ok"),
    "spaces after every marker": (
        "<|channel|> analysis<|message|> We X.<|end|><|start|> assistant<|channel|> final<|message|> 144<|return|>",
        True,
        "144",
        "We X.",
        "ok",
    ),
    "limit in analysis": (f"{A}We need to", False, "", "We need to", "truncated_in_analysis"),
    "return in analysis": (f"{A}東京です。<|return|>", True, "東京です。", "", "answer_in_analysis"),
    "end of analysis": (f"{A}東京です。<|end|>", True, "東京です。", "", "answer_in_analysis"),
    "two analyses": (f"{A}a1{NEXT}{A}東京です。<|return|>", True, "東京です。", "a1", "answer_in_analysis"),
    "return in analysis, then final": (f"{A}考え<|return|>続き{NEXT}{F}答え<|return|>", True, "答え", "考え続き", "ok"),
    "final at once": (f"{F}東京です。<|return|>", True, "東京です。", "", "ok"),
    "limit in final": (f"{A}x{NEXT}{F}東京", False, "東京", "x", "ok"),
    "no channel": ("東京です。<|return|>", True, "東京です。", "", "ok"),
    "no channel, but a message": ("<|message|>東京です。<|return|>", True, "東京です。", "", "ok"),
    "empty channel": ("<|channel|><|message|>東京<|return|>", True, "東京", "", "ok"),
    "missing end": (f"{A}think<|start|>assistant{F}ans<|return|>", True, "ans", "think", "ok"),
    "missing end and start": (f"{A}think{F}ans<|return|>", True, "ans", "think", "ok"),
    "double analysis": (f"{A}a1{NEXT}{A}a2{NEXT}{F}ans<|return|>", True, "ans", "a1\n\na2", "ok"),
    "constrain": ('<|channel|>final <|constrain|>json<|message|>{"a":1}<|return|>', True, '{"a":1}', "", "ok"),
    "commentary": (
        f"{A}a1{NEXT}<|channel|>commentary<|message|>調べます。{NEXT}{F}答え<|return|>",
        True,
        "調べます。\n\n答え",
        "a1",
        "ok",
    ),
    "tool call": (
        f"{A}t<|end|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>{{}}<|call|>",
        True,
        "t",
        "{}",
        "answer_in_analysis",
    ),
    "tool call in the channel": (
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
        True,
        "",
        "{}",
        "empty",
    ),
    "tool call at once": (" to=functions.f<|channel|>commentary<|message|>{}<|call|>", True, "", "{}", "empty"),
    "double start": (f"<|start|><|start|>assistant{F}x<|return|>", True, "x", "", "ok"),
    "prompt repeated": (f"<|start|>assistant{A}y{NEXT}{F}x<|return|>", True, "x", "y", "ok"),
    "padding": (f"{F}x<|return|><|endoftext|><|endoftext|>", True, "x", "", "ok"),
    "no message marker": ("<|channel|>final東京です。<|return|>", True, "東京です。", "", "ok"),
    "no header after analysis": (f"{A}考え<|end|>東京です。<|return|>", True, "東京です。", "考え", "ok"),
    "no header, then final": (f"{A}考え<|end|>まだ考え{NEXT}{F}東京<|return|>", True, "東京", "考え\n\nまだ考え", "ok"),
    "no channel after start": (f"{A}考え{NEXT}東京です。<|return|>", True, "東京です。", "考え", "ok"),
    "the user's turn invented": (f"{F}東京<|end|><|start|>user<|message|>次は？<|end|>", True, "東京", "", "ok"),
    "limit in a header": (f"{A}考え{NEXT}<|channel|>fin", False, "", "考え", "truncated_in_analysis"),
    "limit in a role": (f"{A}考え<|end|><|start|>assis", False, "", "考え", "truncated_in_analysis"),
    "header only": ("<|channel|>analysis<|message|><|return|>", True, "", "", "empty"),
    "nothing": ("", True, "", "", "empty"),
    "two finals": (f"{F}一。{NEXT}{F}二。<|return|>", True, "一。\n\n二。", "", "ok"),
    "a less-than sign": (f"{F}1 <2 と a<|b<|return|>", True, "1 <2 と a<|b", "", "ok"),
}
BARE = {
    "analysis and final": ("analysisWe need.assistantfinal東京", True, "東京", "We need.", "ok"),
    "limit": ("analysisWe need to", False, "", "We need to", "truncated_in_analysis"),
    "answer in analysis": ("analysis 東京です。", True, "東京です。", "", "answer_in_analysis"),
    "no header": ("東京です。", True, "東京です。", "", "ok"),
    "final": ("final東京です。", True, "東京です。", "", "ok"),
    "the word final": ("final answer is Tokyo", True, "final answer is Tokyo", "", "ok"),
    "the role too": ("assistantanalysis think assistantfinal 東京", True, "東京", "think", "ok"),
    "a line break": ("analysis think.\n\nassistant\nfinal\n東京", True, "東京", "think.", "ok"),
    "the words in prose": (
        "analysisThe assistant final answer is near.assistantfinal東京",
        True,
        "東京",
        "The assistant final answer is near.",
        "ok",
    ),
    "two analyses": ("analysis a1.assistantanalysis a2.assistantfinal x", True, "x", "a1.\n\na2.", "ok"),
    "commentary": ("analysisa.assistantcommentary調べます。assistantfinal東京", True, "調べます。\n\n東京", "a.", "ok"),
    "tool": ("analysisa.assistantcommentary to=f json{}assistantfinal東京", True, "東京", "a.\n\nto=f json{}", "ok"),
    "a capital letter": ("Analysis of the data shows", True, "Analysis of the data shows", "", "ok"),
    "markers after all": (f"analysis We need{NEXT}{F}東京<|return|>", True, "東京", "We need", "ok"),
    "the first marker lost": (f"analysis<|message|>We need{NEXT}{F}東京<|return|>", True, "東京", "We need", "ok"),
}
THINK = {
    "normal": ("<think>\n考え\n</think>\n\n東京です。", True, "東京です。", "考え", "ok"),
    "opener in the prompt": ("考え\n</think>\n\n東京です。", True, "東京です。", "考え", "ok"),
    "empty": ("<think>\n\n</think>\n\n東京です。", True, "東京です。", "", "ok"),
    "limit": ("<think>\n考え", False, "", "考え", "truncated_in_analysis"),
    "limit, opener in the prompt": ("考え", False, "", "考え", "truncated_in_analysis"),
    "never closed": ("<think>東京です。", True, "東京です。", "", "answer_in_analysis"),
    "no tags": ("東京です。", True, "東京です。", "", "ok"),
    "closed, nothing after": ("<think>東京です。</think>", True, "東京です。", "", "answer_in_analysis"),
    "two": ("<think>a</think>東京\n<think>b</think>です", True, "東京\n\nです", "a\n\nb", "ok"),
    "talked about": ("<think>a</think>タグ <think> は、思考です。", True, "タグ <think> は、思考です。", "a", "ok"),
    "closed twice": ("<think>a</think>\n</think>\n東京", True, "東京", "a", "ok"),
    "nothing": ("", True, "", "", "empty"),
}
PLAIN = {
    "prose": ("analysis of variance is a method", True, "analysis of variance is a method", "", "ok"),
    "tags": ("<think>x</think> y", True, "<think>x</think> y", "", "ok"),
    "markers": ("<|channel|>x", True, "<|channel|>x", "", "ok"),
    "bare": ("analysisx assistantfinal y", True, "analysisx assistantfinal y", "", "ok"),
    "space": ("\n 東京 \n", True, "東京", "", "ok"),
    "nothing": (" \n", True, "", "", "empty"),
}
TEXTS = [
    pytest.param(name_of_format, *case, id=f"{name_of_format}: {name}")
    for name_of_format, cases in (("harmony", HARMONY), ("harmony", BARE), ("think", THINK), ("plain", PLAIN))
    for name, case in cases.items()
]


def encode(text: str) -> list[int]:
    pieces, rest = cut_at_markers(text, tuple(SPECIAL))
    return [i for piece in [*pieces, rest] for i in ([SPECIAL[piece]] if piece in SPECIAL else piece.encode())]


def chunks(whole: Sequence, chance: random.Random) -> Iterator[Sequence]:
    place = 0
    while place < len(whole):
        size = chance.choice((1, 1, 2, 3, 7, 40))
        yield whole[place : place + size]
        place += size


def streamed(splitter: IdSplitter | TextSplitter, pieces: Iterator[Sequence], finished: bool) -> tuple[str, Reply]:
    answer = "".join(splitter.feed(piece).answer for piece in pieces)
    last, reply = splitter.finish(finished=finished)
    return answer + last.answer, reply


@pytest.mark.parametrize("case", REPORTS, ids=lambda case: case["name"])
def test_the_reports_outputs_lose_their_analysis_and_nothing_else(case: dict) -> None:
    reply = parse_text(case["text"], "harmony", finished=case["finished"])
    assert (reply.answer, reply.reasoning, reply.state) == (case["answer"], case["reasoning"], case["state"])


@pytest.mark.parametrize("case", REPORTS, ids=lambda case: case["name"])
def test_the_reports_outputs_as_ids_with_their_markers_are_split_alike(case: dict) -> None:
    text = case["text"]
    if text.startswith("analysis"):
        text = f"{A}{text.removeprefix('analysis')}".replace("assistantfinal", f"{NEXT}{F}")
    reply = parse_ids(encode(text), VOCABULARY, "harmony", finished=case["finished"])
    assert (reply.answer, reply.reasoning, reply.state) == (case["answer"], case["reasoning"], case["state"])


@pytest.mark.parametrize(("form", "text", "finished", "answer", "reasoning", "state"), TEXTS)
def test_a_reply_is_split_whichever_way_it_is_cut(form, text, finished, answer, reasoning, state) -> None:
    reply = parse_text(text, form, finished=finished)
    assert (reply.answer, reply.reasoning, reply.state) == (answer, reasoning, state)
    chance = random.Random(text)
    for _ in range(20):
        assert streamed(TextSplitter(form), chunks(text, chance), finished) == (answer, reply)


@pytest.mark.parametrize(("text", "finished", "answer", "reasoning", "state"), HARMONY.values(), ids=HARMONY)
def test_ids_are_split_whichever_way_they_are_cut(text, finished, answer, reasoning, state) -> None:
    ids, chance = encode(text), random.Random(text)
    reply = parse_ids(ids, VOCABULARY, "harmony", finished=finished)
    assert (reply.answer, reply.reasoning, reply.state) == (answer, reasoning, state)
    for _ in range(20):
        assert streamed(IdSplitter(VOCABULARY, "harmony"), chunks(ids, chance), finished) == (answer, reply)


@pytest.mark.parametrize(("text", "finished", "answer", "reasoning", "state"), THINK.values(), ids=THINK)
def test_think_ids_are_split_where_the_tags_are_ordinary_tokens(text, finished, answer, reasoning, state) -> None:
    spelled = Vocabulary({"</s>": SPECIAL["</s>"]}, VOCABULARY.decode)
    reply = parse_ids([*text.encode(), SPECIAL["</s>"]], spelled, "think", finished=finished)
    assert (reply.answer, reply.reasoning, reply.state) == (answer, reasoning, state)


def test_think_ids_are_split_where_the_tags_are_tokens_of_their_own() -> None:
    ids = [*"考え".encode(), SPECIAL["</think>"], *"東京".encode(), SPECIAL["</s>"]]
    reply = parse_ids(ids, VOCABULARY, "think", finished=True)
    assert (reply.answer, reply.reasoning, reply.reasoning_tokens) == ("東京", "考え", 6)


def test_random_rubble_streams_what_it_parses_to() -> None:
    chance = random.Random(5)
    words = [*HARMONY_MARKERS, "analysis", "final", "assistant", "commentary", " to=f", " ", "\n", "東", "x", ".", "<|"]
    for _ in range(3000):
        text = "".join(chance.choices(words, k=chance.randrange(14)))
        finished = chance.random() < 0.5
        whole = parse_text(text, "harmony", finished=finished)
        assert streamed(TextSplitter("harmony"), chunks(text, chance), finished) == (whole.answer, whole), text
        by_ids = parse_ids(encode(text), VOCABULARY, "harmony", finished=finished)
        assert streamed(IdSplitter(VOCABULARY, "harmony"), chunks(encode(text), chance), finished) == (
            by_ids.answer,
            by_ids,
        ), text


def test_random_think_rubble_streams_what_it_parses_to() -> None:
    chance = random.Random(6)
    for _ in range(3000):
        text = "".join(chance.choices([*THINK_MARKERS, "<th", "\n", " ", "東", "x"], k=chance.randrange(10)))
        opened, finished = chance.choice((None, True, False)), chance.random() < 0.5
        whole = streamed(TextSplitter("think", opened=opened), iter([text]), finished)
        assert streamed(TextSplitter("think", opened=opened), chunks(text, chance), finished) == whole, text
        assert whole[0] == whole[1].answer


def test_an_answer_streams_character_by_character_and_no_reasoning_is_ever_in_it() -> None:
    splitter = IdSplitter(VOCABULARY, "harmony")
    deltas = [splitter.feed([token]) for token in encode(f"{A}秘密の考え{NEXT}{F}東京です。<|return|>")]
    assert [delta.answer for delta in deltas if delta.answer] == list("東京です。")
    assert sum(delta.hidden_tokens for delta in deltas) == len("秘密の考え".encode())
    assert splitter.finish(finished=True)[1].reasoning_tokens == len("秘密の考え".encode())


def test_a_plain_answer_without_any_header_streams_at_once() -> None:
    splitter = IdSplitter(VOCABULARY, "harmony")
    assert splitter.feed("東".encode()).answer == "東"


def test_a_think_reply_whose_prompt_was_not_opened_streams_at_once() -> None:
    assert TextSplitter("think", opened=False).feed("東京").answer == "東京"
    assert TextSplitter("think", opened=True).feed("東京").answer == ""
    assert TextSplitter("think").feed("東京").answer == ""


def test_markers_that_were_typed_as_text_stay_text() -> None:
    ids = [*encode(F), *b"write <|end|> here", SPECIAL["<|return|>"]]
    assert parse_ids(ids, VOCABULARY, "harmony", finished=True).answer == "write <|end|> here"


def test_a_vocabulary_can_be_what_get_vocab_returns() -> None:
    spelled = {"<|channel|>": 0, "<|message|>": 1, "<|return|>": 2, "final": 3, "▁東京": 4}
    spelled |= {f"<0x{byte:02X}>": 5 + place for place, byte in enumerate("で".encode())}
    assert parse_ids([0, 3, 1, 4, 5, 6, 7, 2], spelled, "harmony", finished=True).answer == "東京で"


def test_a_byte_level_vocabulary_is_spelled_back_into_bytes() -> None:
    vocabulary = {"<|end|>": 0, "æĿ": 1, "±": 2, "Ġx": 3}
    assert parse_ids([1, 2, 3, 0], vocabulary, "plain", finished=True).answer == "東 x"


def test_the_format_is_read_from_the_vocabulary_and_the_template() -> None:
    assert detect_format(SPECIAL, None) == "harmony"
    assert detect_format(["</s>"], "{{ '<think>' }}...</think>") == "think"
    assert detect_format(["</s>"], "### 応答:") == "plain"
