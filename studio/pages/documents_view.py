"""The articles for continued pre-training as HTML: list, job, confirmation, and a text before and after cleaning.

It must not know how an article is read, cleaned or chosen.
"""

from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import get_args
from urllib.parse import quote

from studio.datasets.documents import (
    Document,
    DocumentCounts,
    DocumentFilter,
    DocumentJob,
    DocumentPage,
    DocumentText,
    Selected,
    Selection,
)
from studio.datasets.documents.model import DocumentOrder, DocumentState
from studio.i18n import text
from studio.pages.markup import bar, element, empty, facts_line, notice, pager, size_text, words

MOST_REJECTED_SHOWN = 50
MOST_GROUPS_SHOWN = 50
# A whole book beside itself helps nobody, and comparing takes its time.
MOST_LINES_SHOWN = 300
LONGEST_LINE_COMPARED = 2_000
MOST_CHARACTERS_COMPARED = 20_000
# So much of two lines is the same where one has become the other.
ALIKE_LINES = 0.5

# Every button and row says what it does and of which article; the server looks the id up.
ACTIONS_JS = """
const act = (target) => {
  const found = target.closest('[data-act], button[data-page]');
  if (!found || window.getSelection().toString()) return false;
  trigger('click', {act: found.dataset.act ?? 'page', value: found.dataset.value ?? found.dataset.page ?? ''});
  return true;
};
element.addEventListener('click', (event) => act(event.target));
element.addEventListener('keydown', (event) => {
  if (event.isComposing || !event.target.matches('tr[data-act]')) return;
  const next = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[event.code];
  if (event.code === 'Enter' || event.code === 'Space') { event.preventDefault(); act(event.target); }
  else if (next && event.target[next]) { event.preventDefault(); event.target[next].focus(); }
});
"""


def counts_line(counts: DocumentCounts, locale: str) -> str:
    """How much would be trained on, and what is left out for which reason."""
    figures = {"included": f"{counts.included:,}", "characters": f"{counts.characters:,}"}
    line = words(text("documents_page.counts", locale, **figures), "oboe-strong")
    line += words(text("documents_page.cleaned", locale, number=f"{counts.cleaned:,}"), "oboe-muted")
    for code, number in counts.excluded.items():
        line += words(text(f"documents_page.left_out_{code}", locale, number=f"{number:,}"), "oboe-muted")
    return line


def documents_table(page: DocumentPage, filter: DocumentFilter, selected: int | None, locale: str) -> str:
    """One page of articles, with what is shown and in which order above it."""
    choices = _choices("state", get_args(DocumentState), filter.state, locale)
    choices += _choices("order", get_args(DocumentOrder), filter.order, locale)
    actions = (
        ("near", "documents_page.near"),
        ("export", "documents_page.export"),
        ("undo", "dataset_page.undo"),
        ("delete", "documents_page.delete_all"),
    )
    choices += element("span", "".join(_button(text(key, locale), act) for act, key in actions), "oboe-choice actions")
    head = element("div", choices, "oboe-choices")
    if not page.documents:
        return head + empty(text("documents_page.nothing_found", locale))
    heads = "".join(
        words(text(f"documents_page.column_{column}", locale), classes, "th")
        for column, classes in (("title", ""), ("characters", "number"), ("state", ""))
    )
    rows = "".join(_row(document, document.id == selected, locale) for document in page.documents)
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    position = text(
        "documents_page.position",
        locale,
        number=f"{page.number:,}",
        pages=f"{page.pages:,}",
        total=f"{page.total:,}",
    )
    return head + element("div", table, "oboe-table-frame") + pager(position, page.number, page.pages, locale)


def article(document: DocumentText | None, locale: str) -> str:
    """One article: as it was on the left, as it is trained on to the right."""
    if document is None:
        return empty(text("documents_page.choose_one", locale))
    figures = text("documents_page.characters", locale, number=f"{document.characters:,}")
    action = "include" if document.excluded else "exclude"
    head = element(
        "div",
        words(document.title, name="h3")
        + words(f"{figures} · {document.path}", "oboe-muted")
        + _chips(document, locale)
        + _button(text(f"documents_page.{action}", locale), action, document.id),
        "oboe-title",
    )
    if not document.cleaned:
        untouched = words(text("documents_page.untouched", locale), "oboe-muted", "p")
        return head + untouched + element("div", _lines(document.text, locale), "oboe-article")
    titles = (text("documents_page.before", locale), text("documents_page.after", locale))
    return head + compared(document.original, document.text, titles, locale)


def alike(kept: DocumentText, other: DocumentText, locale: str) -> str:
    """Two articles that are nearly the same, side by side."""
    titles = (f"{kept.title} · {kept.path}", f"{other.title} · {other.path}")
    heading = words(text("documents_page.side_by_side", locale), name="h3")
    return heading + compared(kept.text, other.text, titles, locale)


def compared(before: str, after: str, titles: tuple[str, str], locale: str) -> str:
    """Two texts line by line, with what only one of them holds marked."""
    left, right = (side.replace("\r\n", "\n").strip().split("\n")[:MOST_LINES_SHOWN] for side in (before, after))
    parts = [
        (tag != "equal", left[i:j], right[k:m])
        for tag, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    ]
    finely = sum(len(line) for changed, old, new in parts if changed for line in old + new) <= MOST_CHARACTERS_COMPARED
    rows = [
        element("tr", element("td", one) + element("td", two))
        for changed, old, new in parts
        for one, two in (_pairs(old, new, finely) if changed else [(words(line), words(line)) for line in old])
    ]
    heads = element("tr", "".join(words(title, name="th") for title in titles))
    table = element("table", element("thead", heads) + element("tbody", "".join(rows)), "oboe-table oboe-compared")
    longer = max(before.count("\n"), after.count("\n")) >= MOST_LINES_SHOWN
    more = words(text("documents_page.more_lines", locale, number=MOST_LINES_SHOWN), "oboe-muted", "p")
    return element("div", table, "oboe-table-frame oboe-article") + (more if longer else "")


def confirmation(selection: Selection, selected: Selected, locale: str) -> str:
    """What a selection would do, and the two ways on."""
    values = {
        "words": "、".join(selection.words),
        "number": f"{selected.number:,}",
        "remaining": f"{selected.remaining:,}",
        "times": f"{selection.times:,}",
    }
    sentence = text(f"documents_page.would_{selection.action}_{selection.where}", locale, **values)
    examples = text("documents_page.remaining_examples", locale, titles="、".join(selected.examples))
    if not selected.number:
        return notice(sentence, "info", text("documents_page.changes_nothing", locale))
    yes = text("documents_page.leave_out_number", locale, number=f"{selected.number:,}")
    return notice(sentence, "info", examples if selected.examples else "") + _yes_or_no(yes, locale)


def working(locale: str) -> str:
    """Stands where an answer will, for the seconds that reading all texts takes."""
    return words(text("documents_page.working", locale), "oboe-muted", "p") + bar(None)


def deletion(counts: DocumentCounts, locale: str) -> str:
    """Asks before every article is deleted, which cannot be undone."""
    number = f"{counts.documents:,}"
    sentence = text("documents_page.would_delete", locale, number=number)
    return notice(sentence, "warning") + _yes_or_no(text("documents_page.delete_number", locale, number=number), locale)


def exported(path: Path, number: int, locale: str) -> str:
    """The way to a file that was written."""
    sentence = text("documents_page.exported", locale, number=f"{number:,}", size=size_text(path.stat().st_size))
    link = words(text("documents_page.download", locale, file=path.name))
    address = f"gradio_api/file={quote(str(path))}"
    return notice(sentence, "ok") + element("a", link, "oboe-button", href=address, download=path.name)


def job_line(job: DocumentJob | None, titles: dict[int, str], locale: str) -> str:
    """How far an import or a search is, and afterwards what came of it; `titles` are those of alike articles."""
    if job is None:
        return ""
    if job.state == "running":
        sentence = text(f"documents_page.running_{job.kind}", locale, source=job.source, done=f"{job.done:,}")
        percent = "" if job.share is None else f"{job.share:.0%}"
        stop = _button(text("documents_page.cancel", locale), "cancel")
        line = words(sentence, "oboe-strong") + words(percent, "oboe-muted") + stop
        return element("div", line, "oboe-job") + bar(job.share)
    if job.state == "cancelled":
        return notice(text(f"documents_page.cancelled_{job.kind}", locale), "warning")
    if job.reason:
        return notice(job.reason.text(locale), "failed")
    return _imported(job, locale) if job.kind == "import" else _found_alike(job, titles, locale)


def _imported(job: DocumentJob, locale: str) -> str:
    sentence = text("documents_page.imported", locale, source=job.source, number=f"{job.imported:,}")
    numbers = {
        "duplicates": job.duplicates,
        "known": job.known,
        "skipped": job.skipped,
        "rejected": len(job.rejected),
    }
    figures = [(text(f"documents_page.figure_{name}", locale), f"{n:,}") for name, n in numbers.items() if n]
    rows = "".join(
        element("tr", words(path, name="td") + words(error.text(locale), name="td"))
        for path, error in job.rejected[:MOST_REJECTED_SHOWN]
    )
    table = element("div", element("table", element("tbody", rows), "oboe-table"), "oboe-table-frame oboe-short")
    return (
        notice(sentence, "warning" if job.rejected else "ok")
        + (facts_line(figures) if figures else "")
        + (table if rows else "")
    )


def _found_alike(job: DocumentJob, titles: dict[int, str], locale: str) -> str:
    number = sum(len(group.others) for group in job.alike)
    if not number:
        return notice(text("documents_page.none_alike", locale, done=f"{job.done:,}"), "ok")
    groups = f"{len(job.alike):,}"
    rows = "".join(
        element(
            "tr",
            words(titles.get(key, ""), name="td")
            + words(titles.get(group.kept, ""), name="td")
            + words(f"{similarity:.0%}", "number", "td"),
            data_act="alike",
            data_value=f"{group.kept}-{key}",
            tabindex=0,
        )
        for group in job.alike[:MOST_GROUPS_SHOWN]
        for key, similarity in group.others
    )
    heads = "".join(
        words(text(f"documents_page.column_{column}", locale), "number" if column == "similarity" else "", "th")
        for column in ("alike", "kept", "similarity")
    )
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    leave_out = _button(text("documents_page.leave_out_alike", locale, number=f"{number:,}"), "leave_out_alike")
    head = element(
        "div", words(text("documents_page.found_alike", locale, groups=groups), "oboe-strong") + leave_out, "oboe-job"
    )
    return head + element("div", table, "oboe-table-frame oboe-short")


def _choices(name: str, values: tuple[str, ...], chosen: str, locale: str) -> str:
    buttons = "".join(
        element(
            "button",
            text(f"documents_page.{name}_{value}", locale),
            "oboe-button",
            type="button",
            data_act=name,
            data_value=value,
            aria_pressed=str(value == chosen).lower(),
        )
        for value in values
    )
    return element("span", buttons, "oboe-choice")


def _row(document: Document, selected: bool, locale: str) -> str:
    cells = (
        element("td", words(document.title) + words(document.path, "oboe-path"), "column-title"),
        words(f"{document.characters:,}", "number", "td"),
        element("td", _chips(document, locale)),
    )
    return element(
        "tr",
        "".join(cells),
        "left-out" if document.excluded else "",
        data_act="open",
        data_value=document.id,
        tabindex=0,
        aria_selected="true" if selected else None,
    )


def _chips(document: Document, locale: str) -> str:
    cleaned = words(text("documents_page.chip_cleaned", locale), "oboe-chip") if document.cleaned else ""
    return cleaned + (words(document.reason(locale), "oboe-chip reverse") if document.excluded else "")


def _button(label: str, act: str, value: object = "") -> str:
    return element("button", label, "oboe-button", type="button", data_act=act, data_value=value)


def _yes_or_no(yes: str, locale: str) -> str:
    return element("div", _button(yes, "yes") + _button(text("documents_page.no", locale), "no"), "oboe-buttons")


def _lines(content: str, locale: str) -> str:
    lines = content.split("\n")
    more = words(text("documents_page.more_lines", locale, number=MOST_LINES_SHOWN), "oboe-muted", "p")
    shown = "".join(words(line, name="p") for line in lines[:MOST_LINES_SHOWN])
    return shown + (more if len(lines) > MOST_LINES_SHOWN else "")


def _pairs(old: list[str], new: list[str], finely: bool) -> list[tuple[str, str]]:
    """Changed lines side by side: characters are marked where a line has become another, else the whole line."""
    if not finely:
        return [_apart(one, two) for one, two in zip_longest(old, new, fillvalue="")]
    rows: list[tuple[str, str]] = []
    for line in new:
        alike = [SequenceMatcher(None, before, line).quick_ratio() for before in old]
        at = max(range(len(old)), key=alike.__getitem__, default=0)
        if not old or alike[at] < ALIKE_LINES or max(len(line), len(old[at])) > LONGEST_LINE_COMPARED:
            rows.append(_apart("", line))
            continue
        rows += [*(_apart(before, "") for before in old[:at]), _marked(old[at], line)]
        old = old[at + 1 :]
    return rows + [_apart(before, "") for before in old]


def _apart(one: str, two: str) -> tuple[str, str]:
    return words(one, name="del") if one else "", words(two, name="ins") if two else ""


def _marked(one: str, two: str) -> tuple[str, str]:
    before, after = "", ""
    for tag, i, j, k, m in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        before += words(one[i:j], name="span" if tag == "equal" else "del") if i < j else ""
        after += words(two[k:m], name="span" if tag == "equal" else "ins") if k < m else ""
    return before, after
