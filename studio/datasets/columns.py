"""Says which column of a file is which, and reads a pair of question and answer out of a record of any shape."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from studio.datasets.tables import Row
from studio.datasets.text import clean, excerpt, fold, is_short_answer, is_storable
from studio.errors import DatasetError

# Names as people and tools write them, the surer ones first; compared without case and width.
NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        *(
            "question",
            "質問",
            "質問文",
            "問い",
            "問",
            "問題",
            "問題文",
            "設問",
            "instruction",
            "指示",
            "prompt",
            "query",
            "q",
        ),
        *("input", "入力"),
    ),
    "answer": (
        *("answer", "回答", "答え", "答", "解答", "正解", "応答", "出力", "output", "completion", "response", "a"),
    ),
    "messages": ("messages", "conversations", "conversation"),
    "fact_id": ("fact_id",),
    # Exports say which example a line was; an import gives new numbers.
    "example_id": ("example_id",),
    "kind": ("kind",),
    "answer_style": ("answer_style",),
    "status": ("status",),
    "generator": ("generator",),
    "prompt_version": ("prompt_version",),
    "flags": ("flags",),
    "subject": ("subject", "主題", "対象"),
    "spellings": ("spellings", "別表記"),
    "tags": ("tags", "タグ"),
    "key_terms": ("key_terms",),
    "short_answer": ("short_answer",),
}
INSTRUCTIONS = ("instruction", "指示")
INPUTS = ("input", "入力")
# Alpaca's earlier turns of a conversation.
HISTORY = "history"
# These say something about an example of a fact, so they mean nothing where no column names the fact.
OF_FACTS = ("kind", "status", "generator", "prompt_version", "flags")
CHOICES: dict[str, tuple[str, ...]] = {
    "kind": ("seed", "paraphrase", "reverse"),
    "answer_style": ("short", "detailed"),
    "status": ("pending", "accepted", "rejected"),
}
ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant"}
UNTRAINED_ROLES = ("system", "developer")
# What a message may hold besides its text; an answer is trained without it.
THOUGHTS = ("thinking", "reasoning_content", "reasoning")


class Pair(NamedTuple):
    """One question and answer of a file; `fact` groups the pairs of one fact, empty for a fact of its own."""

    line: int
    question: str
    answer: str
    answer_style: str
    fact: str = ""
    kind: str = ""
    status: str = "accepted"
    generator: str = ""
    prompt_version: str = ""
    flags: str = "[]"
    subject: str = ""
    spellings: str = "[]"
    tags: str = "[]"
    key_terms: str = "[]"
    short_answer: int | None = None


@dataclass(frozen=True)
class Layout:
    """Where a record of certain columns holds what; `input` is added to the question after a line break."""

    columns: Mapping[str, str]
    input: str | None = None
    history: str | None = None

    @property
    def used(self) -> set[str]:
        """The columns that are read."""
        return {*self.columns.values(), *filter(None, (self.input, self.history))}


def layout_of(columns: tuple[str, ...], mapping: Mapping[str, str]) -> Layout:
    """Find the columns by `mapping` first and by their names then.

    Raises:
        DatasetError: no question or no answer among the columns, or `mapping` names what is not there.
    """
    by_name = {fold(column).strip(): column for column in reversed(columns)}
    found = _mapped(columns, by_name, mapping)
    for field, names in NAMES.items():
        column = next(
            (by_name[name] for name in names if name in by_name and by_name[name] not in found.values()), None
        )
        if column is not None:
            found.setdefault(field, column)
    if "question" in found and "answer" in found and "messages" not in mapping:
        found.pop("messages", None)
    elif "messages" in found:
        found = {field: column for field, column in found.items() if field not in ("question", "answer")}
    else:
        missing = [field for field in ("question", "answer") if field not in found]
        raise DatasetError(f"dataset.error_no_{'_'.join(missing)}_column", columns=_listed(columns))
    if "fact_id" not in found:
        found = {field: column for field, column in found.items() if field not in OF_FACTS}
    history = by_name.get(HISTORY) if "messages" not in found else None
    return Layout(found, _input_column(found, by_name), history if history not in found.values() else None)


def pair_of(line: int, row: Row, layout: Layout) -> Pair:
    """The question and answer of a record.

    Raises:
        DatasetError: one of them is missing, or a column holds what it cannot hold.
    """
    if "messages" in layout.columns:
        question, answer = _conversation(row[layout.columns["messages"]])
    else:
        question, answer = _plain_pair(row, layout)
    question, answer = clean(question, "question"), clean(answer, "answer")
    values = {
        field: read(row[layout.columns[field]], field) for field, read in READ_AS.items() if field in layout.columns
    }
    own_style = "short" if is_short_answer(answer) else "detailed"
    return Pair(
        line,
        question,
        answer,
        values.get("answer_style") or own_style,
        fact=values.get("fact_id", ""),
        kind=values.get("kind", ""),
        status=values.get("status") or "accepted",
        generator=values.get("generator", ""),
        prompt_version=values.get("prompt_version", ""),
        flags=values.get("flags", "[]"),
        subject=values.get("subject", ""),
        spellings=values.get("spellings", "[]"),
        tags=values.get("tags", "[]"),
        key_terms=values.get("key_terms", "[]"),
        short_answer=SHORT_ANSWERS[values.get("short_answer", "")],
    )


def _mapped(columns: tuple[str, ...], by_name: Mapping[str, str], mapping: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for field, column in mapping.items():
        if field not in NAMES:
            raise DatasetError("dataset.error_mapping_field", field=excerpt(field), known=", ".join(NAMES))
        if not column:
            continue
        found[field] = column if column in columns else by_name.get(fold(column).strip(), "")
        if not found[field]:
            raise DatasetError("dataset.error_mapping_column", column=excerpt(column), columns=_listed(columns))
    return found


def _input_column(found: Mapping[str, str], by_name: Mapping[str, str]) -> str | None:
    if fold(found.get("question", "")).strip() not in INSTRUCTIONS:
        return None
    return next((by_name[name] for name in INPUTS if name in by_name and by_name[name] not in found.values()), None)


def _listed(columns: tuple[str, ...]) -> str:
    shown = ", ".join(excerpt(column) for column in columns[:20])
    return shown + (", …" if len(columns) > 20 else "") if columns else "-"


def _plain_pair(row: Row, layout: Layout) -> tuple[str, str]:
    question, answer = row[layout.columns["question"]], row[layout.columns["answer"]]
    if layout.history and (earlier := _from_json(row[layout.history])):
        turns = len(earlier) if isinstance(earlier, list) else 1
        raise DatasetError("dataset.error_turns", questions=turns + 1, answers=turns + 1)
    if isinstance(question, list) and isinstance(answer, list):
        # TRL's conversational form: the prompt and the completion are both lists of messages.
        return _conversation([*question, *answer])
    text = _text(question, layout.columns["question"])
    extra = _text(row[layout.input], layout.input).strip() if layout.input else ""
    return f"{text}\n{extra}" if extra else text, _text(answer, layout.columns["answer"])


def _conversation(value: object) -> tuple[str, str]:
    """The one question and the one answer of a conversation; system messages are not trained."""
    messages = _from_json(value)
    if not isinstance(messages, list):
        raise DatasetError("dataset.error_messages")
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    for message in messages:
        if not isinstance(message, dict):
            raise DatasetError("dataset.error_messages")
        role = fold(str(message.get("role") or message.get("from") or ""))
        if role in UNTRAINED_ROLES:
            continue
        if role not in ROLES:
            raise DatasetError("dataset.error_role", role=excerpt(role))
        said[ROLES[role]].append(_content(message))
    if len(said["user"]) != 1 or len(said["assistant"]) != 1:
        raise DatasetError("dataset.error_turns", questions=len(said["user"]), answers=len(said["assistant"]))
    return said["user"][0], said["assistant"][0]


def thoughts_in(row: Row, layout: Layout) -> str:
    """Where the messages of a record hold thoughts, as a person reads it; empty where they hold none."""
    messages = _from_json(row[layout.columns["messages"]]) if "messages" in layout.columns else None
    if not isinstance(messages, list):
        return ""
    held = (key for message in messages if isinstance(message, dict) for key in THOUGHTS if message.get(key))
    return next((f"{layout.columns['messages']}: {key}" for key in held), "")


def _content(message: Mapping[str, object]) -> str:
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        # OpenAI's content parts; a picture cannot be trained here.
        texts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = "".join(text for text in texts if isinstance(text, str)) if all(texts) else None
    return _text(content, "content")


def _text(value: object, column: str) -> str:
    """A value as text: numbers are taken as they are written, nothing is the empty text."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise DatasetError("dataset.error_not_text", column=excerpt(column), value=excerpt(str(value)))


def _short_text(value: object, column: str) -> str:
    text = _text(value, column).strip()
    if not is_storable(text):
        raise DatasetError("dataset.error_broken_character", text=excerpt(text))
    return text


def _choice(value: object, column: str) -> str:
    word = fold(_text(value, column).strip())
    if word and word not in CHOICES[column]:
        raise DatasetError("dataset.error_choice", column=column, value=excerpt(word), known=", ".join(CHOICES[column]))
    return word


def _list(value: object, column: str) -> str:
    """A list of words as JSON; in a table it may be written as JSON or with commas."""
    if value in NO_WORDS:
        return "[]"
    parsed = _from_json(value)
    words = [_short_text(word, column) for word in (parsed if isinstance(parsed, list) else _split(parsed, column))]
    return json.dumps([word for word in words if word], ensure_ascii=False)


def _terms(value: object, column: str) -> str:
    """Key terms as JSON, each a list of alternatives; a plain word is a term without alternatives."""
    if value in NO_WORDS:
        return "[]"
    parsed = _from_json(value)
    terms = parsed if isinstance(parsed, list) else _split(parsed, column)
    alternatives = [
        [_short_text(word, column) for word in (term if isinstance(term, list) else [term])] for term in terms
    ]
    cleaned = [[word for word in words if word] for words in alternatives]
    return json.dumps([words for words in cleaned if words], ensure_ascii=False)


def _split(value: object, column: str) -> list[str]:
    return re.split(r"[,、，;；]", _text(value, column))


def _from_json(value: object) -> object:
    if not isinstance(value, str) or not value.strip().startswith("["):
        return value
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed


def _truth(value: object, column: str) -> str:
    word = str(value).strip().casefold() if value is not None and value == value else ""
    if word not in SHORT_ANSWERS:
        known = ", ".join(filter(None, SHORT_ANSWERS))
        raise DatasetError("dataset.error_choice", column=column, value=excerpt(word), known=known)
    return word


# Most lines of most files; to take them apart costs more than the rest of the line.
NO_WORDS: tuple[object, ...] = ([], "", "[]", None)
SHORT_ANSWERS = {"": None, "true": 1, "1": 1, "1.0": 1, "false": 0, "0": 0, "0.0": 0}

READ_AS: dict[str, Callable[[object, str], str]] = {
    "fact_id": _short_text,
    "kind": _choice,
    "answer_style": _choice,
    "status": _choice,
    "generator": _short_text,
    "prompt_version": _short_text,
    "flags": _list,
    "subject": _short_text,
    "spellings": _list,
    "tags": _list,
    "key_terms": _terms,
    "short_answer": _truth,
}
