"""One example as HTML: what it is, what happened to it, what somebody else made of it; it must not know handlers."""

from datetime import datetime

from studio.datasets import EditConflict, Example, HistoryEntry
from studio.i18n import text
from studio.pages.dataset_table import source_of
from studio.pages.markup import button, element, notice, words
from studio.pages.review_view import flag_name

MOST_HISTORY = 20


def example_line(example: Example, locale: str) -> str:
    """Which example is being edited, where it comes from, and the decision on it."""
    kind = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    style = text(f"dataset_page.style_{example.answer_style}", locale)
    source = source_of(example.generator, locale)
    fact = text("dataset_page.fact_number", locale, number=example.fact_id)
    flags = "".join(words(flag_name(code, locale), "oboe-chip failed") for code in example.flags)
    line = kind + words(f"{fact} · {style} · {source}", "oboe-muted") + flags
    return line + element("div", _decisions(example, locale), "oboe-decisions")


def history_list(entries: list[HistoryEntry], locale: str) -> str:
    """Every edit of an example, the newest first: who, when, what, and the texts before and after."""
    heading = words(text("dataset_page.history", locale), name="h3")
    shown = "".join(_entry(entry, locale) for entry in entries[:MOST_HISTORY])
    return element("section", heading + element("ol", shown), "oboe-history") if entries else ""


def conflict_box(conflict: EditConflict, locale: str) -> str:
    """What an example says now, beside what a person has typed."""
    current = conflict.current
    now = words(text("dataset_page.conflict_now", locale), "oboe-muted", "dt")
    texts = words(current.question, name="dd") + words(current.answer, name="dd")
    take = button(text("dataset_page.conflict_take", locale), data_do="take")
    return notice(conflict.text(locale), "warning") + element("dl", now + texts, "oboe-conflict") + take


def _decisions(example: Example, locale: str) -> str:
    buttons = ""
    for status in ("accepted", "rejected"):
        buttons += element(
            "button",
            f'<i class="oboe-mark {status}"></i>' + words(text(f"dataset_page.bulk_{status}", locale)),
            "oboe-button",
            type="button",
            data_do=status,
            aria_pressed="true" if example.status == status else "false",
        )
    return buttons


def _entry(entry: HistoryEntry, locale: str) -> str:
    who = entry.author or text("dataset_page.nobody", locale)
    head = words(who, "oboe-strong") + words(_moment(entry.made_at), "oboe-muted")
    if entry.undone:
        head += words(text("dataset_page.undone", locale), "oboe-chip")
    changes = "".join(
        element("p", words(entry.before[column], name="del") + words(entry.after.get(column, ""), name="ins"))
        for column in ("question", "answer")
        if column in entry.before and entry.after
    )
    return element("li", element("div", head) + words(entry.text(locale), name="p") + changes)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
