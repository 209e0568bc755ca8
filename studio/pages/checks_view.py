"""The findings of the checks as HTML: their kinds worst first, and the examples of one kind side by side.

It must not know how anything is found.
"""

from datetime import datetime

from studio.datasets import Example
from studio.datasets.checks import STAGES, CodeCount, Finding, FindingPage, Report
from studio.i18n import text
from studio.pages.markup import bar, element, empty, notice, pager, words

STEPS = ("reading", *STAGES, "keeping")
# What makes a score or a trained answer wrong; the others make a dataset poorer.
GRAVE = ("leak", "conflict", "lost_key_term", "empty", "foreign")
# What augmentation mends.
AUGMENTED = ("coverage_forward", "coverage_reverse", "coverage_answers")

# A kind of finding opens its examples beside it, or in the list; a person decides each example where it is shown.
KINDS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-code]');
  if (!button) return;
  if (button.dataset.action === 'show') {
    element.querySelectorAll('li[aria-current]').forEach((other) => other.removeAttribute('aria-current'));
    button.closest('li').setAttribute('aria-current', 'true');
  }
  trigger({show: 'select', list: 'click', augment: 'expand'}[button.dataset.action], {code: button.dataset.code});
});
"""
FINDINGS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.page) trigger('click', {page: Number(button.dataset.page)});
  else if (button.dataset.status) trigger('select', {id: Number(button.dataset.id), status: button.dataset.status});
  else if (button.dataset.fact) trigger('expand', {fact: Number(button.dataset.fact)});
});
"""


def status_line(report: Report | None, locale: str) -> str:
    """When the dataset was checked and what has happened since; or what checking is good for."""
    if report is None:
        return empty(text("checks_page.never", locale))
    when = text(
        "checks_page.checked",
        locale,
        moment=_moment(report.checked_at),
        facts=f"{report.facts:,}",
        examples=f"{report.examples:,}",
    )
    lines = [notice(when, "warning" if report.changes_since else "ok", _since(report, locale))]
    if not report.questions:
        lines.append(notice(text("checks_page.no_questions", locale), "info"))
    return "".join(lines)


def progress_line(stage: str, locale: str) -> str:
    """What is being checked, and how far the run is."""
    sentence = words(text(f"checks.stage_{stage}", locale), "oboe-strong", "p")
    return sentence + bar(STEPS.index(stage) / len(STEPS))


def kinds_list(report: Report | None, chosen: str, locale: str) -> str:
    """Every kind of finding with its number and reason."""
    if report is None:
        return ""
    if not report.counts:
        return notice(text("checks_page.nothing_found", locale), "ok")
    return element("ul", "".join(_kind(count, count.code == chosen, locale) for count in report.counts), "oboe-kinds")


def findings_list(page: FindingPage | None, code: str, locale: str) -> str:
    """The findings of one kind, the examples of each beside one another."""
    if page is None:
        return ""
    if not page.findings:
        return empty(text("checks_page.none_left", locale))
    heading = words(text(f"checks.title_{code}", locale), name="h3")
    position = text(
        "checks_page.position", locale, number=f"{page.number:,}", pages=f"{page.pages:,}", total=f"{page.total:,}"
    )
    found = "".join(_finding(finding, locale) for finding in page.findings)
    return heading + found + (pager(position, page.number, page.pages, locale) if page.pages > 1 else "")


def _since(report: Report, locale: str) -> str:
    if not report.changes_since:
        return ""
    return text("checks_page.changed_since", locale, number=f"{report.changes_since:,}")


def _kind(count: CodeCount, is_chosen: bool, locale: str) -> str:
    code = count.code
    icon = f'<i class="oboe-icon {"warning" if code in GRAVE else "info"}"></i>'
    number = text("checks_page.number", locale, findings=f"{count.findings:,}", examples=f"{count.examples:,}")
    title = words(text(f"checks.title_{code}", locale), "oboe-strong") + words(number, "oboe-number")
    reason = words(text(f"checks.help_{code}", locale), "oboe-muted", "p")
    buttons = _button("show", code, locale) + _button("list", code, locale)
    if code in AUGMENTED:
        buttons += _button("augment", code, locale)
    body = element("header", title) + reason + element("div", buttons, "oboe-buttons")
    return element("li", icon + element("div", body), aria_current="true" if is_chosen else None)


def _button(action: str, code: str, locale: str) -> str:
    label = words(text(f"checks_page.{action}", locale))
    return element("button", label, "oboe-button", type="button", data_action=action, data_code=code)


def _finding(finding: Finding, locale: str) -> str:
    reason = words(finding.text(locale), "oboe-sentence", "p")
    if not finding.examples:
        cards = words(text("checks_page.deleted", locale), "oboe-muted", "p")
    else:
        cards = element("div", "".join(_card(example, locale) for example in finding.examples), "oboe-cards")
    left = finding.total - len(finding.examples)
    more = words(text("checks_page.more", locale, number=f"{left:,}"), "oboe-muted", "p") if left > 0 else ""
    return element("section", reason + cards + more, "oboe-finding")


def _card(example: Example, locale: str) -> str:
    fact = text("dataset_page.fact_number", locale, number=example.fact_id)
    head = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    head += element("button", words(fact), "oboe-link", type="button", data_fact=example.fact_id)
    rejected = example.status == "rejected"
    wanted = "accepted" if rejected else "rejected"
    label = words(text(f"checks_page.make_{wanted}", locale))
    decide = element("button", label, "oboe-button", type="button", data_id=example.id, data_status=wanted)
    body = words(example.question, "oboe-asked", "p") + words(example.answer, "oboe-answered", "p")
    return element("article", element("header", head + decide) + body, "rejected" if rejected else "")


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
