"""What an import would do and what it did, as HTML; it must not know how a file is read."""

from collections.abc import Mapping, Sequence

from studio.datasets import ImportPreview, ImportReport, RejectedLine
from studio.i18n import text
from studio.pages.markup import element, notice, words

MOST_REJECTED_SHOWN = 50

# The one button of a report leads to the facts that were proposed.
REPORT_JS = (
    "element.addEventListener('click', (event) => { if (event.target.closest('button')) trigger('click', {}); });"
)

# Every choice is told at once, so that the server knows all of them from one event.
COLUMNS_JS = """
element.addEventListener('change', () => trigger('input', {asked: Object.fromEntries(
  [...element.querySelectorAll('select')].map((choice) => [choice.dataset.field, choice.value]))}));
"""


def columns_form(choices: Mapping[str, Sequence[tuple[str, str]]], locale: str) -> str:
    """A choice for each field: labels and values, the first of them what is found by itself."""
    fields = []
    for field, options in choices.items():
        listed = "".join(element("option", words(label), value=value) for label, value in options)
        name = words(text(f"files_page.column_of_{field}", locale))
        fields.append(element("label", name + element("select", listed, data_field=field), "oboe-filter"))
    return "".join(fields)


def import_preview(preview: ImportPreview, locale: str) -> str:
    """The first lines as they would come in, and every line that would not."""
    number = f"{preview.imported:,}"
    sentence = text("files_page.would_import", locale, number=number)
    if not preview.complete:
        sentence = text("files_page.would_import_of_first", locale, number=number)
    several = len({pair.file for pair in preview.pairs}) > 1
    # A column that says nothing takes no room.
    shown = [name for name in ("fact", "subject", "tags") if any(getattr(pair, name) for pair in preview.pairs)]
    heads = [*(["file"] if several else []), "line", "question", "answer", *shown]
    rows = [[getattr(pair, head) for head in heads] for pair in preview.pairs]
    return (
        words(sentence, "oboe-strong", "p")
        + _table(heads, rows, locale)
        + _unused(preview.unused_columns, "files_page.would_not_use", locale)
        + _rejected(preview.rejected, "files_page.would_reject", locale)
    )


def import_report(report: ImportReport, dataset: str, locale: str) -> str:
    """How much came in, and every line that did not, with its reason."""
    sentence = text("files_page.imported", locale, number=f"{report.imported:,}", dataset=dataset)
    told = notice(sentence, "warning" if report.rejected else "ok")
    if report.proposed:
        proposed = text("files_page.proposed", locale, number=f"{report.proposed:,}", facts=f"{report.facts:,}")
        way = words(text("files_page.to_facts", locale), "oboe-button", "button")
        told += element("p", words(proposed) + " " + way)
    unused = _unused(report.unused_columns, "files_page.not_used", locale)
    return told + unused + _rejected(report.rejected, "files_page.rejected", locale)


def _unused(columns: Sequence[str], key: str, locale: str) -> str:
    return words(text(key, locale, columns=", ".join(columns)), "oboe-muted", "p") if columns else ""


def _rejected(rejected: Sequence[RejectedLine], key: str, locale: str) -> str:
    if not rejected:
        return ""
    several = len({line.file for line in rejected}) > 1
    shown = rejected[:MOST_REJECTED_SHOWN]
    heads = [*(["file"] if several else []), "line", "reason"]
    rows = [[*([line.file] if several else []), f"{line.line:,}", line.text(locale)] for line in shown]
    left = len(rejected) - len(shown)
    more = words(text("files_page.more_rejected", locale, number=f"{left:,}"), "oboe-muted", "p") if left else ""
    sentence = words(text(key, locale, number=f"{len(rejected):,}"), "oboe-strong", "p")
    return sentence + _table(heads, rows, locale, "oboe-short") + more


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], locale: str, classes: str = "") -> str:
    kinds = [f"column-{'fact' if head == 'line' else head}" for head in heads]
    head = "".join(
        words(text(f"files_page.column_{name}", locale), kind, "th") for name, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        element("tr", "".join(words(cell, kind, "td") for cell, kind in zip(row, kinds, strict=True))) for row in rows
    )
    table = element("table", element("thead", element("tr", head)) + element("tbody", body), "oboe-table")
    return element("div", table, f"oboe-table-frame {classes}".strip())
