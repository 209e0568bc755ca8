"""Plan, cost, preview and progress of an augmentation as HTML; it must not know how examples are made."""

from collections.abc import Iterable, Sequence

from studio.augmentation.estimate import Estimate
from studio.augmentation.plan import Plan
from studio.augmentation.preview import Previewed
from studio.augmentation.reversal import SharedAnswer
from studio.augmentation.status import NEW_FACTS, AugmentStatus
from studio.datasets.model import MadeExample
from studio.i18n import text
from studio.pages.facts_view import said_of
from studio.pages.markup import bar, duration_text, element, facts_line, notice, words

MOST_SHOWN = 50
STATE_ICONS = {"finished": "ok", "paused": "info", "cancelled": "warning", "failed": "failed", "interrupted": "warning"}


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


def estimate(told: Estimate, locale: str) -> str:
    """What a job will ask for and cost, before anything is sent."""
    cost = text("augment_page.free", locale) if told.cost is None else _dollars(told.cost)
    figures = [
        ("augment_page.figure_requests", f"{told.requests:,}"),
        ("augment_page.figure_reused", f"{told.reused:,}"),
        ("augment_page.figure_prompt_tokens", f"{told.prompt_tokens:,}"),
        ("augment_page.figure_completion_tokens", f"{told.completion_tokens:,}"),
        ("augment_page.figure_cost", cost),
    ]
    line = facts_line([(text(key, locale), value) for key, value in figures])
    return line + words(text(f"augment_page.{'measured' if told.measured else 'guessed'}", locale), "oboe-muted", "p")


def shared(facts: Sequence[SharedAnswer], plan: Plan, locale: str) -> str:
    """Which facts share their answer, and what becomes of their reversed questions."""
    return _shared(f"plan_{plan.shared_reverse}", len(facts), facts, locale) if facts else ""


def preview(previewed: list[Previewed], locale: str) -> str:
    """Each fact or title with all that would be made of it."""
    heading = words(text("augment_page.preview_of", locale, number=len(previewed)), name="h3")
    return heading + "".join(_previewed(fact, locale, opened=at == 0) for at, fact in enumerate(previewed))


def progress(status: AugmentStatus, locale: str) -> str:
    """Where a job stands, and afterwards what came of it."""
    line = facts_line(
        [(text(f"augment_page.figure_{name}", locale), value) for name, value in _figures(status, locale)]
    )
    lists = _gates(status, locale) + _left_out(status, locale) + _failures(status, locale) + _failed(status, locale)
    if status.state == "running":
        head = words(text(_sentence(status), locale, dataset=status.dataset), "oboe-strong", "p")
        return head + bar(status.done / status.total if status.total else None) + line + lists
    reason = status.reason.text(locale) if status.reason else ""
    sentence = text(_sentence(status), locale, added=f"{status.added:,}", dataset=status.dataset)
    return notice(sentence, STATE_ICONS[status.state], reason) + line + lists


def _sentence(status: AugmentStatus) -> str:
    """The key of what is said of a job in this state."""
    if status.source == "fields" and status.state != "interrupted":
        return f"augment_page.{status.state}_fields"
    if status.source in NEW_FACTS and status.state == "finished":
        return "augment_page.finished_seeds"
    return f"augment_page.{status.state}"


def _figures(status: AugmentStatus, locale: str) -> Iterable[tuple[str, str]]:
    yield "sources" if status.source in NEW_FACTS else "facts", f"{status.done:,} / {status.total:,}"
    yield (
        {"facts": "made", "fields": "filled"}.get(status.source, "new_facts"),
        f"{status.made:,} / {status.planned:,}" if status.planned else f"{status.made:,}",
    )
    if status.flagged:
        yield "flagged", f"{status.flagged:,}"
    if status.needs_model:
        yield "needs_model", f"{status.needs_model:,}"
    yield "failed", f"{status.failed_facts - status.needs_model:,}"
    if status.generator == "rules":
        return
    yield "tokens", f"{status.tokens:,}"
    if status.cost is not None:
        yield "cost", _dollars(status.cost)
    if status.reused:
        yield "reused", f"{status.reused:,}"
    if status.state == "running":
        yield "under_way", f"{status.under_way:,}"
        if status.eta_s is not None:
            per_minute = 60 * (status.total - status.done) / status.eta_s if status.eta_s else 0.0
            yield "rate", f"{per_minute:,.0f}"
            yield "eta", duration_text(status.eta_s, locale)


def _gates(status: AugmentStatus, locale: str) -> str:
    """Why examples are held back, the most frequent reason first."""
    if not status.flags:
        return ""
    counted = sorted(status.flags.items(), key=lambda counted: -counted[1])
    named = [(text(f"augment.gate_{gate}", locale), f"{number:,}") for gate, number in counted]
    sentence = text("augment_page.held_back", locale, number=f"{status.flagged:,}")
    return notice(sentence, "info") + facts_line(named)


def _left_out(status: AugmentStatus, locale: str) -> str:
    if not status.shared:
        return ""
    kept = status.reverse_for_one > status.reverse_left_out
    number = status.reverse_for_one if kept else status.reverse_left_out
    return _shared("reverse_for_one" if kept else "reverse_left_out", number, status.shared, locale)


def _shared(key: str, number: int, facts: Sequence[SharedAnswer], locale: str) -> str:
    head = element("summary", words(text(f"augment_page.{key}", locale, number=f"{number:,}")))
    rows = ((words(one.question, name="td"), words(one.other_question, name="td")) for one in facts[:MOST_SHOWN])
    columns = ("augment_page.column_question", "augment_page.column_same_answer")
    return element("details", head + _table(columns, rows, locale), "oboe-fact")


def _failures(status: AugmentStatus, locale: str) -> str:
    """How many attempts gave nothing, by reason; a later attempt may have made them good."""
    if not status.failures:
        return ""
    counted = sorted(status.failures.items(), key=lambda counted: -counted[1])
    named = [(text(f"augment_page.attempt_{key.rpartition('error_')[2]}", locale), f"{n:,}") for key, n in counted]
    return words(text("augment_page.attempts", locale), "oboe-muted", "p") + facts_line(named)


def _failed(status: AugmentStatus, locale: str) -> str:
    if not status.failed:
        return ""
    rows = (
        (
            words(failed.fact_id or "–", "column-fact", "td"),
            words(failed.question, name="td"),
            words(failed.reason.text(locale), name="td"),
        )
        for failed in status.failed[:MOST_SHOWN]
    )
    columns = ("augment_page.column_fact", "augment_page.column_question", "augment_page.column_reason")
    return _table(columns, rows, locale)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]], locale: str) -> str:
    heads = "".join(words(text(key, locale), name="th") for key in columns)
    body = element("tbody", "".join(element("tr", "".join(row)) for row in rows))
    table = element("table", element("thead", element("tr", heads)) + body, "oboe-table")
    return element("div", table, "oboe-table-frame oboe-short")


def _previewed(previewed: Previewed, locale: str, *, opened: bool) -> str:
    name = words(previewed.title) + words(previewed.answer, "oboe-muted")
    head = element("summary", name + _count(previewed, locale))
    if previewed.reason:
        return element("details", head + notice(previewed.reason_text(locale), "warning"), "oboe-fact", open="open")
    if previewed.read is not None:
        return element("details", head + said_of(previewed.read, locale), "oboe-fact", open="open")
    rows = [_made(made, locale) for made in previewed.made]
    rows += [
        element("tr", words(pair.question, "column-question", "td") + words(pair.answer, name="td"))
        for pair in previewed.pairs
    ]
    table = element("div", element("table", element("tbody", "".join(rows)), "oboe-table"), "oboe-table-frame")
    return element("details", head + table, "oboe-fact", open="open" if opened else None)


def _made(made: MadeExample, locale: str) -> str:
    kind = words(text(f"dataset_page.kind_{made.kind}", locale), f"oboe-chip {made.kind}")
    flags = "".join(words(text(f"augment.gate_{flag}", locale), "oboe-chip notable") for flag in made.flags)
    return element(
        "tr",
        element("td", kind, "column-kind")
        + words(text(f"dataset_page.style_{made.answer_style}", locale), "column-style", "td")
        + element("td", words(made.question) + flags, "column-question")
        + words(made.answer, name="td"),
    )


def _count(previewed: Previewed, locale: str) -> str:
    number = len(previewed.made) or len(previewed.pairs)
    return words(text("augment_page.would_make", locale, number=f"{number:,}"), "oboe-muted") if number else ""


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:,.4f}"
