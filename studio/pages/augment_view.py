"""Plan, preview and progress of an augmentation as HTML; it must not know how examples are made."""

from studio.augmentation.jobs import AugmentStatus
from studio.augmentation.plan import Plan
from studio.augmentation.preview import Previewed
from studio.i18n import text
from studio.pages.markup import bar, element, facts_line, notice, words

MOST_FAILED_SHOWN = 50
STATE_ICONS = {"finished": "ok", "cancelled": "warning", "failed": "failed", "interrupted": "warning"}


def plan_sum(plan: Plan, facts: int, locale: str) -> str:
    """The plan as a sum, `(8 + 8) × 2 = 32 / fact × 36 = 1,152`, and that the seed counts."""
    values = {
        "forward": plan.forward,
        "reverse": plan.reverse,
        "answers": plan.answers,
        "per_fact": f"{plan.per_fact:,}",
        "facts": f"{facts:,}",
        "total": f"{plan.total(facts):,}",
    }
    line = words(text("augment_page.sum", locale, **values), "oboe-sum", "p")
    return line + words(text("augment_page.sum_help", locale), "oboe-muted", "p")


def preview(previewed: list[Previewed], locale: str) -> str:
    """Each fact with all that would be made of it."""
    heading = words(text("augment_page.preview_of", locale, number=len(previewed)), name="h3")
    return heading + "".join(_previewed(fact, locale) for fact in previewed)


def progress(status: AugmentStatus, locale: str) -> str:
    """Where a job stands, and afterwards what came of it."""
    figures = [
        ("augment_page.figure_facts", f"{status.done:,} / {status.total:,}"),
        ("augment_page.figure_made", f"{status.made:,} / {status.planned:,}"),
        ("augment_page.figure_needs_model", f"{status.needs_model:,}"),
        ("augment_page.figure_failed", f"{status.failed_facts - status.needs_model:,}"),
    ]
    if status.generator == "endpoint":
        figures.append(("augment_page.figure_tokens", f"{status.tokens:,}"))
    line = facts_line([(text(key, locale), value) for key, value in figures])
    if status.state == "running":
        head = words(text("augment_page.running", locale, dataset=status.dataset), "oboe-strong", "p")
        return head + bar(status.done / status.total if status.total else None) + line
    reason = status.reason.text(locale) if status.reason else ""
    sentence = text(f"augment_page.{status.state}", locale, added=f"{status.added:,}", dataset=status.dataset)
    return (
        notice(sentence, STATE_ICONS[status.state], reason) + line + _left_out(status, locale) + _failed(status, locale)
    )


def _left_out(status: AugmentStatus, locale: str) -> str:
    if not status.reverse_left_out:
        return ""
    return notice(text("augment_page.reverse_left_out", locale, number=f"{status.reverse_left_out:,}"))


def _failed(status: AugmentStatus, locale: str) -> str:
    if not status.failed:
        return ""
    rows = "".join(
        element(
            "tr",
            words(f.fact_id, "column-fact", "td")
            + words(f.question, name="td")
            + words(f.reason.text(locale), name="td"),
        )
        for f in status.failed[:MOST_FAILED_SHOWN]
    )
    heads = "".join(
        words(text(key, locale), name="th")
        for key in ("dataset_page.column_fact", "dataset_page.column_question", "dataset_page.column_reason")
    )
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    return element("div", table, "oboe-table-frame oboe-short")


def _previewed(previewed: Previewed, locale: str) -> str:
    head = element(
        "summary", words(previewed.title) + words(previewed.answer, "oboe-muted") + _count(previewed, locale)
    )
    if previewed.reason:
        return element("details", head + notice(previewed.reason_text(locale), "warning"), "oboe-fact", open="open")
    rows = "".join(
        element(
            "tr",
            element(
                "td", words(text(f"dataset_page.kind_{made.kind}", locale), f"oboe-chip {made.kind}"), "column-kind"
            )
            + words(text(f"dataset_page.style_{made.answer_style}", locale), "column-style", "td")
            + words(made.question, "column-question", "td")
            + words(made.answer, name="td"),
        )
        for made in previewed.made
    )
    table = element("div", element("table", element("tbody", rows), "oboe-table"), "oboe-table-frame")
    return element("details", head + table, "oboe-fact", open="open")


def _count(previewed: Previewed, locale: str) -> str:
    number = len(previewed.made)
    return words(text("augment_page.would_make", locale, number=f"{number:,}"), "oboe-muted") if number else ""
