"""The report of an import as HTML; it must not know how a file is read."""

from studio.datasets import ImportReport
from studio.i18n import text
from studio.pages.markup import element, notice, words

MOST_REJECTED_SHOWN = 50


def import_report(report: ImportReport, dataset: str, locale: str) -> str:
    """How much came in, and every line that did not, with its reason."""
    sentence = text("files_page.imported", locale, number=f"{report.imported:,}", dataset=dataset)
    if not report.rejected:
        return notice(sentence, "ok")
    shown = report.rejected[:MOST_REJECTED_SHOWN]
    lines = "".join(
        element("tr", words(f"{line.line:,}", "column-fact", "td") + words(line.text(locale), name="td"))
        for line in shown
    )
    left = len(report.rejected) - len(shown)
    more = words(text("files_page.more_rejected", locale, number=f"{left:,}"), "oboe-muted", "p") if left else ""
    heads = words(text("files_page.column_line", locale), "column-fact", "th")
    heads += words(text("files_page.column_reason", locale), name="th")
    table = element("table", element("thead", element("tr", heads)) + element("tbody", lines), "oboe-table")
    rejected = text("files_page.rejected", locale, number=f"{len(report.rejected):,}")
    return notice(sentence, "warning", rejected) + element("div", table, "oboe-table-frame oboe-short") + more
