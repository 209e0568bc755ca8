"""The findings of the checks as HTML: their kinds worst first, and the examples of one kind side by side.

It must not know how anything is found.
"""

from datetime import datetime
from difflib import SequenceMatcher
from html import escape

from studio.datasets import Example
from studio.datasets.checks import STAGES, CodeCount, Finding, FindingPage, Report
from studio.i18n import text
from studio.pages.markup import bar, element, empty, notice, pager, words

STEPS = ("reading", *STAGES, "keeping")
# What makes a score or a trained answer wrong; the others make a dataset poorer.
GRAVE = ("leak", "conflict", "lost_key_term", "empty", "foreign")
# What augmentation mends.
AUGMENTED = ("coverage_forward", "coverage_reverse", "coverage_answers")

# Of these the examples are compared with one another, and what differs is marked.
COMPARED = ("conflict", "duplicate", "near_duplicate")

# On a narrow screen the examples stand below a long list of kinds.
KINDS_JS = """
element.addEventListener('click', (event) => {
  const kind = event.target.closest('li[data-code]');
  if (!kind) return;
  element.querySelectorAll('li[aria-current]').forEach((other) => other.removeAttribute('aria-current'));
  kind.setAttribute('aria-current', 'true');
  trigger('select', {code: kind.dataset.code});
  if (window.innerWidth <= 720) document.getElementById('checks-findings').scrollIntoView({block: 'start'});
});
"""
FINDINGS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.page) trigger('click', {page: Number(button.dataset.page)});
  else if (button.dataset.status) trigger('select', {id: Number(button.dataset.id), status: button.dataset.status});
  else if (button.dataset.fact) trigger('expand', {filter: 'fact_id', value: Number(button.dataset.fact)});
  else if (button.dataset.code) trigger('expand', {filter: 'check', value: button.dataset.code});
  else trigger('apply');
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
    position = text(
        "checks_page.position", locale, number=f"{page.number:,}", pages=f"{page.pages:,}", total=f"{page.total:,}"
    )
    found = "".join(_finding(finding, locale) for finding in page.findings)
    return _heading(code, locale) + found + (pager(position, page.number, page.pages, locale) if page.pages > 1 else "")


def _heading(code: str, locale: str) -> str:
    """What is shown, with the ways on: all its examples in the list, or to what mends it."""
    title = words(text(f"checks.title_{code}", locale), name="h3")
    ways = element("button", words(text("checks_page.list", locale)), "oboe-button", type="button", data_code=code)
    if code in AUGMENTED:
        ways += element("button", words(text("checks_page.augment", locale)), "oboe-button", type="button")
    return element("header", title + ways, "oboe-findings-heading")


def _since(report: Report, locale: str) -> str:
    if not report.changes_since:
        return ""
    return text("checks_page.changed_since", locale, number=f"{report.changes_since:,}")


def _kind(count: CodeCount, is_chosen: bool, locale: str) -> str:
    code = count.code
    icon = f'<i class="oboe-icon {"warning" if code in GRAVE else "info"}"></i>'
    number = text("checks_page.number", locale, findings=f"{count.findings:,}", examples=f"{count.examples:,}")
    title = words(text(f"checks.title_{code}", locale), "oboe-strong") + words(number, "oboe-number")
    show = element("button", words(text("checks_page.show", locale)), "oboe-button", type="button")
    reason = element("div", words(text(f"checks.help_{code}", locale), "oboe-muted", "p") + show)
    body = element("div", element("header", title) + reason)
    return element("li", icon + body, data_code=code, aria_current="true" if is_chosen else None)


def _finding(finding: Finding, locale: str) -> str:
    reason = words(finding.text(locale), "oboe-sentence", "p")
    if not finding.examples:
        cards = words(text("checks_page.deleted", locale), "oboe-muted", "p")
    else:
        cards = element(
            "div", "".join(_card(example, other, locale) for example, other in _compared(finding)), "oboe-cards"
        )
    left = finding.total - len(finding.examples)
    more = words(text("checks_page.more", locale, number=f"{left:,}"), "oboe-muted", "p") if left > 0 else ""
    return element("section", reason + cards + more, "oboe-finding")


def _compared(finding: Finding) -> list[tuple[Example, Example | None]]:
    """Every example with the one that it is compared with: the first, and the first with the second."""
    first, *others = finding.examples
    if finding.code not in COMPARED or not others:
        return [(example, None) for example in finding.examples]
    return [(first, others[0]), *((other, first) for other in others)]


def _card(example: Example, compared: Example | None, locale: str) -> str:
    fact = text("dataset_page.fact_number", locale, number=example.fact_id)
    head = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    head += element("button", words(fact), "oboe-link", type="button", data_fact=example.fact_id)
    rejected = example.status == "rejected"
    wanted = "accepted" if rejected else "rejected"
    label = words(text(f"checks_page.make_{wanted}", locale))
    decide = element("button", label, "oboe-button", type="button", data_id=example.id, data_status=wanted)
    question, answer = escape(example.question), escape(example.answer)
    if compared is not None:
        question, answer = _marked(example.question, compared.question), _marked(example.answer, compared.answer)
    body = element("p", question, "oboe-asked") + element("p", answer, "oboe-answered")
    return element("article", element("header", head + decide) + body, "rejected" if rejected else "")


def _marked(written: str, other: str) -> str:
    """A text in which what the other one does not have is marked, escaped."""
    alike = SequenceMatcher(None, other, written, autojunk=False).get_opcodes()
    parts = ((tag, escape(written[start:end])) for tag, _, _, start, end in alike if end > start)
    return "".join(part if tag == "equal" else f"<mark>{part}</mark>" for tag, part in parts)


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
