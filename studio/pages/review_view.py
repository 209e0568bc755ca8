"""The review queue as HTML: the frame with its keys and editors, and the sheet of one fact; it must not know the queue.

What the server draws once (the frame) and what it draws after every key (the sheet) are apart: an open editor is never
drawn over.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple

from studio.datasets import Example, Fact
from studio.datasets.model import EditConflict, FactConflict
from studio.datasets.review import DIRECTIONS, Progress, Row, Sheet, stamp_of
from studio.i18n import sentences, text
from studio.pages.dataset_table import source_of
from studio.pages.markup import bar, element, notice, words

# What a key is called on the screen, and what assets/scripts/review.js calls what it does.
KEYS = (
    ("A", "accept"),
    ("R", "reject"),
    ("E", "edit"),
    ("⇧A", "accept_all"),
    ("J", "down"),
    ("K", "up"),
    ("N", "next"),
    ("P", "previous"),
    ("U", "undo"),
    ("F", "fact"),
)
STYLES = ("short", "detailed")
# Answers of one style that have a column each; more than two hand-written ones are rare.
MOST_SHARED = 2
# Between the items of a list that is typed into one line, in half or full width: no name holds it.
SEPARATOR = "｜"


def frame(locale: str) -> str:
    """Everything that stays while sheets come and go."""
    keys = "".join(
        element(
            "button", words(key, name="kbd") + words(_say(f"key_{action}", locale)), type="button", data_action=action
        )
        for key, action in KEYS
    )
    told = element("p", "", "oboe-told", data_part="told", role="status", data_failed=_say("failed", locale))
    side = (
        element("div", "", "oboe-detail", data_part="detail")
        + _example_form(locale)
        + _fact_form(locale)
        + told
        + element("div", keys, "oboe-keys", data_part="keys")
    )
    return element(
        "div",
        element("div", "", data_part="sheet") + element("aside", side, "oboe-panel"),
        "oboe-review",
    )


def sheet_of(sheet: Sheet, locale: str) -> str:
    """One fact with its examples, and apart from them what is known of each."""
    groups = "".join(
        _group(direction, [row for row in sheet.rows if row.direction == direction], locale) for direction in DIRECTIONS
    )
    more = _say("more_examples", locale, number=f"{sheet.left_out:,}") if sheet.left_out else ""
    details = "".join(
        element("template", _detail(example, sheet, locale), data_detail=example.id) for example in sheet.examples
    )
    return element(
        "article",
        progress_line(sheet, locale)
        + _fact(sheet.fact, locale)
        + groups
        + (words(more, "oboe-muted", "p") if more else "")
        + details,
        "oboe-sheet",
        data_fact=sheet.fact.id,
        data_cursor=sheet.cursor,
        data_said=sheet.fact.said,
        data_fields=json.dumps(fields_of(sheet.fact), ensure_ascii=False),
    )


def nothing_to_review(sentence: str, button: str) -> str:
    """What stands there without a fact: one sentence and the way to the list."""
    return words(sentence, "oboe-empty", "p") + element(
        "button", words(button), "oboe-button", type="button", data_section="list"
    )


def progress_line(sheet: Sheet, locale: str) -> str:
    """How many facts are decided, who else is here, and at the end the way on."""
    progress = sheet.progress
    share = progress.done / progress.total
    figures = _say("progress", locale, done=f"{progress.done:,}", total=f"{progress.total:,}")
    percent = _say("percent", locale, percent=_percent(progress))
    line = words(figures, "oboe-strong") + bar(share) + words(percent, "oboe-muted")
    people = [person or _say("someone", locale) for person in sheet.others]
    if people:
        line += words(_say("others", locale, people="、".join(people)), "oboe-chip notable")
    head = element("header", line, "oboe-review-progress")
    if progress.done < progress.total:
        return head
    done = notice(_say("all_done", locale, total=f"{progress.total:,}"), "ok", _say("reopen_help", locale))
    on = element("button", words(_say("to_checks", locale)), "oboe-button", type="button", data_section="checks")
    if progress.reopenable:
        label = _say("reopen", locale, number=f"{progress.reopenable:,}")
        on += element("button", words(label), "oboe-button", type="button", data_action="reopen")
    return head + element("div", done + on, "oboe-review-done")


def conflict_of(conflict: EditConflict, locale: str) -> str:
    """What somebody else has written meanwhile, above what is typed here."""
    current = conflict.current
    return (
        notice(conflict.text(locale), "warning", _say("conflict_remedy", locale))
        + words(current.question, "oboe-quoted", "p")
        + words(current.answer, "oboe-quoted", "p")
    )


def fact_conflict_of(conflict: FactConflict, locale: str) -> str:
    """What a fact says of itself by now, above what is typed here."""
    said = fields_of(conflict.current)
    listed = "".join(
        element("p", words(_say(name, locale), "oboe-muted") + words(said[name]), "oboe-quoted")
        for name in ("subject", "spellings", "tags", "key_terms")
        if said[name]
    )
    return notice(conflict.text(locale), "warning", _say("conflict_remedy", locale)) + listed


def fields_of(fact: Fact) -> dict[str, str]:
    """What a person may change of a fact, as it is typed."""
    return {
        "subject": fact.subject,
        "spellings": SEPARATOR.join(fact.spellings),
        "tags": SEPARATOR.join(fact.tags),
        "key_terms": "\n".join(SEPARATOR.join(term) for term in fact.key_terms),
        "short_answer": "short" if fact.short_answer else "explanation",
    }


def typed_list(typed: str) -> list[str]:
    """The items of a typed list, in the order given and each once."""
    items = (item.strip() for item in typed.replace("|", SEPARATOR).split(SEPARATOR))
    return list(dict.fromkeys(item for item in items if item))


def typed_terms(typed: str) -> list[list[str]]:
    """One key term a line, with its alternatives."""
    return [term for line in typed.splitlines() if (term := typed_list(line))]


def _fact(fact: Fact, locale: str) -> str:
    tags = "".join(words(tag, "oboe-chip") for tag in fact.tags)
    title = words(_say("fact", locale, number=fact.id), name="h3") + tags
    pair = element(
        "dl",
        words(_say("question", locale), name="dt")
        + words(fact.question, name="dd")
        + words(_say("answer", locale), name="dt")
        + words(fact.answer, name="dd"),
        "oboe-pair",
    )
    known = words(_say("subject", locale)) + _or_none(_with_others(fact.subject, fact.spellings), locale)
    terms = [_with_others(term[0], term[1:]) for term in fact.key_terms if term]
    known += words(_say("key_terms", locale)) + _or_none(" · ".join(terms), locale)
    known += words(_say("kind_of_answer", locale))
    known += words(_say("short_answer" if fact.short_answer else "explanation", locale), name="b")
    return element(
        "section",
        element("header", title, "oboe-title") + pair + element("p", known, "oboe-known"),
        "oboe-panel oboe-review-fact",
    )


def _with_others(name: str, others: Sequence[str]) -> str:
    return f"{name}（{SEPARATOR.join(others)}）" if others else name


def _or_none(value: str, locale: str) -> str:
    return words(value, name="b") if value else words(_say("none", locale), "oboe-muted")


def _group(direction: str, rows: Sequence[Row], locale: str) -> str:
    if not rows:
        return ""
    columns = _columns(rows, locale)
    heads = words(_say(f"direction_{direction}", locale, number=len(rows)), name="h4")
    heads += "".join(words(column.label, "oboe-style") for column in columns)
    answers = "".join(
        element("p", words(column.label, "oboe-muted") + words(column.answer)) for column in columns if column.answer
    )
    lines = "".join(_row(row, columns, locale) for row in rows)
    return element(
        "section",
        element("header", heads) + element("div", answers, "oboe-shared") + element("ol", lines),
        "oboe-panel oboe-review-group",
        style=f"--columns: {len(columns)}",
    )


class _Column(NamedTuple):
    """Examples of one answer style, or of one answer that several questions share."""

    label: str
    style: str
    answer: str = ""

    def is_of(self, example: Example) -> bool:
        return (self.style, self.answer) == (example.answer_style, example.answer)


def _columns(rows: Sequence[Row], locale: str) -> list[_Column]:
    """A column for each shared answer, in the order of reading, and one for a style that shares none."""
    answers = Counter((example.answer_style, example.answer) for row in rows for example in row.examples)
    columns = []
    for style in (style for style in STYLES if any(of_style == style for of_style, _ in answers)):
        label = text(f"dataset_page.style_{style}", locale)
        shared = [answer for (of_style, answer), number in answers.items() if of_style == style and number > 1]
        shown = shared[:MOST_SHARED]
        numbered = [f"{label} {place}" for place in range(1, len(shown) + 1)] if len(shown) > 1 else [label]
        columns += [_Column(name, style, answer) for name, answer in zip(numbered, shown or [""], strict=True)]
    return columns


def _row(row: Row, columns: Sequence[_Column], locale: str) -> str:
    """A question with its cells; an answer that no column's head tells stands below the question."""
    cells = ["" for _ in columns]
    own = ""
    for example in row.examples:
        place = next((place for place, column in enumerate(columns) if column.is_of(example)), None)
        if place is None:
            place = next(place for place, column in enumerate(columns) if column.style == example.answer_style)
            own += (
                "" if example.kind == "seed" else words(example.answer, "oboe-own-answer", "p")
            )  # a seed stands above
        cells[place] += _cell(example, place, locale)
    question = element("div", words(row.question, "oboe-asked", "p") + own)
    return element("li", question + "".join(element("div", of_column, "oboe-cells") for of_column in cells))


def _cell(example: Example, column: int, locale: str) -> str:
    style = text(f"dataset_page.style_{example.answer_style}", locale)
    status = _say(f"status_{example.status}", locale)
    flags = "".join(words(flag_name(code, locale), "oboe-flag") for code in example.flags)
    return element(
        "button",
        f'<i class="oboe-mark {example.status}"></i>' + flags,
        "oboe-cell",
        type="button",
        tabindex=-1,
        data_example=example.id,
        data_seen=stamp_of(example),
        data_changed=example.updated_at.isoformat(),
        data_status=example.status,
        data_column=column,
        aria_label=f"{style} · {status}",
    )


def flag_name(code: str, locale: str) -> str:
    """What a gate has found, in a word or two."""
    return _found(code, "review_page.flag", locale)


def _found(code: str, key: str, locale: str) -> str:
    """What a gate has found; a code that only a file knows stands for itself."""
    return text(f"{key}_{code}", locale) if f"{key}_{code}" in sentences(locale) else code


def _detail(example: Example, sheet: Sheet, locale: str) -> str:
    """The example under the cursor: its whole text, what is wrong with it, and where it comes from."""
    kind = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    style = text(f"dataset_page.style_{example.answer_style}", locale)
    status = _say(f"status_{example.status}", locale)
    head = element("header", kind + words(f"{style} · {status}", "oboe-muted"), "oboe-title")
    texts = "".join(
        words(_say(field, locale), "oboe-muted", "h4")
        + element("p", escape(getattr(example, field)), "oboe-whole", data_text=field)
        for field in ("question", "answer")
    )
    flags = "".join(notice(_found(code, "augment.gate", locale), "warning") for code in example.flags)
    return head + flags + texts + _alike(example, sheet, locale) + _origin(example, sheet, locale)


def _alike(example: Example, sheet: Sheet, locale: str) -> str:
    """How many other examples of the fact hold the same texts; the editor offers to change them all."""
    others = [other for other in sheet.examples if other.id != example.id]
    questions = sum(other.question == example.question for other in others)
    answers = sum(other.answer == example.answer for other in others)
    sentence = _say("alike", locale, questions=questions, answers=answers) if questions + answers else ""
    return element("span", escape(sentence), hidden="hidden", data_alike="")


def _origin(example: Example, sheet: Sheet, locale: str) -> str:
    """Who made it, and what was done with it last."""
    made = (source_of(example.generator, locale), example.prompt_version, _moment(example.created_at))
    lines = words(" · ".join(part for part in made if part), name="p")
    for entry in sheet.history[example.id]:
        done = entry.text(locale) + (f" ({entry.author})" if entry.author else "")
        lines += words(f"{_moment(entry.made_at)}  {done}", name="p")
    return element("footer", lines, "oboe-muted")


def _example_form(locale: str) -> str:
    fields = words(_say("edit_example", locale), name="h3") + element("div", "", data_part="conflict")
    fields += _field("question", _textarea("question", rows=4), locale)
    fields += _field("answer", _textarea("answer", rows=7), locale)
    fields += '<label class="oboe-alike"><input type="checkbox" name="everywhere"><span></span></label>'
    return _form("example", fields, locale)


def _fact_form(locale: str) -> str:
    fields = words(_say("edit_fact", locale), name="h3") + element("div", "", data_part="conflict")
    for name in ("subject", "spellings", "tags"):
        fields += _field(name, f'<input class="oboe-control" name="{name}" autocomplete="off">', locale)
    fields += _field("key_terms", _textarea("key_terms", rows=3), locale)
    fields += words(_say("how_to_list", locale), "oboe-muted", "p")
    choices = "".join(
        element("option", escape(_say(kind, locale)), value=value)
        for kind, value in (("short_answer", "short"), ("explanation", "explanation"))
    )
    fields += _field("kind_of_answer", f'<select class="oboe-control" name="short_answer">{choices}</select>', locale)
    return _form("fact", fields, locale)


def _textarea(name: str, rows: int) -> str:
    return f'<textarea class="oboe-control" name="{name}" rows="{rows}" spellcheck="false"></textarea>'


def _field(label: str, control: str, locale: str) -> str:
    return element("label", words(_say(label, locale)) + control)


def _form(name: str, fields: str, locale: str) -> str:
    buttons = "".join(
        element(
            "button",
            words(_say(f"editor_{action}", locale)) + words(key, name="kbd"),
            "oboe-button",
            type="button",
            data_editor=action,
        )
        for action, key in (("save", "Ctrl+Enter"), ("cancel", "Esc"))
    )
    return element(
        "form",
        fields + element("div", buttons, "oboe-editor-buttons"),
        data_part=name,
        data_unsaved=_say("unsaved", locale),
        hidden="hidden",
    )


def _percent(progress: Progress) -> int:
    """Whole percent; 100 only when nothing is left."""
    return 100 * progress.done // progress.total


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _say(key: str, locale: str, **values: object) -> str:
    return text(f"review_page.{key}", locale, **values)
