"""Question sets as HTML: their sets with how far they are confirmed, and each question with its fact and its kind."""

from collections.abc import Mapping, Sequence

from studio.datasets import Fact
from studio.datasets.questions import KINDS, OF_FACTS, Question, QuestionPage, QuestionSet, SetReport
from studio.i18n import text
from studio.pages.markup import bar, element, empty, notice, pager, words

MOST_REJECTED_SHOWN = 20
KEYS = (("J / K", "move"), ("A", "agree"), ("1 – 5", "kind"), ("F", "fact"), ("U", "reopen"))
SETS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const act = button.dataset.act;
  if (act === 'delete' && !window.confirm(button.dataset.sentence)) return;
  if (act) trigger('apply', {act});
  else trigger('select', {name: button.dataset.set});
});
"""


def sets_list(sets: Sequence[QuestionSet], chosen: str, locale: str) -> str:
    """The sets of a dataset, and what can be done with the chosen one."""
    if not sets:
        return empty(text("questions_page.no_sets", locale))
    buttons = "".join(
        element(
            "button",
            words(found.name) + words(f"{found.confirmed:,} / {found.questions:,}", "oboe-number"),
            "oboe-button",
            type="button",
            data_set=found.name,
            aria_pressed="true" if found.name == chosen else "false",
        )
        for found in sets
    )
    shown = next((found for found in sets if found.name == chosen), sets[0])
    return element("nav", buttons, "oboe-shown") + _progress(shown, locale)


def questions_list(page: QuestionPage, facts: Mapping[int, Fact], locale: str) -> str:
    """One page of questions, with the keys that decide on them."""
    if not page.questions:
        return ""
    keys = "".join(
        element("span", words(key, name="kbd") + words(text(f"questions_page.key_{what}", locale)))
        for key, what in KEYS
    )
    items = "".join(_item(question, facts, locale) for question in page.questions)
    position = text(
        "questions_page.position", locale, number=f"{page.number:,}", pages=f"{page.pages:,}", total=f"{page.total:,}"
    )
    pages = pager(position, page.number, page.pages, locale) if page.pages > 1 else ""
    return element("p", keys, "oboe-question-keys") + element("ol", items, "oboe-questions") + pages


def import_report(report: SetReport, locale: str) -> str:
    """How much of a file came in, and every line that did not, with its reason."""
    sentence = text("questions_page.imported", locale, number=f"{report.imported:,}", name=report.name)
    if not report.rejected:
        return notice(sentence, "ok")
    lines = "".join(
        element("li", words(text("questions_page.line", locale, line=f"{line.line:,}", reason=line.text(locale))))
        for line in report.rejected[:MOST_REJECTED_SHOWN]
    )
    rejected = text("questions_page.rejected", locale, number=f"{len(report.rejected):,}")
    return notice(sentence, "warning", rejected) + element("ul", lines, "oboe-reasons")


def _progress(shown: QuestionSet, locale: str) -> str:
    kinds = " · ".join(
        f"{text(f'questions_page.kind_{kind}', locale)} {shown.by_kind[kind]:,}"
        for kind in KINDS
        if kind in shown.by_kind
    )
    numbers = text("questions_page.confirmed", locale, done=f"{shown.confirmed:,}", total=f"{shown.questions:,}")
    acts = ("confirm_all", "propose_again") if shown.confirmed < shown.questions else ()
    buttons = "".join(
        element(
            "button",
            words(text(f"questions_page.{act}", locale)),
            "oboe-button",
            type="button",
            data_act=act,
            data_sentence=text("questions_page.sure", locale, name=shown.name) if act == "delete" else None,
        )
        for act in (*acts, "delete")
    )
    line = element(
        "p", words(numbers, "oboe-strong") + words(kinds, "oboe-muted") + element("span", buttons), "oboe-ask"
    )
    return line + bar(shown.confirmed / shown.questions)


def _item(question: Question, facts: Mapping[int, Fact], locale: str) -> str:
    is_open = question.confirmed_by is None
    fact = facts.get(question.fact_id) if question.fact_id is not None else None
    asked = words(question.question, "oboe-asked", "p") + words(question.reference, "oboe-muted", "p")
    kinds = "".join(
        element(
            "button",
            words(text(f"questions_page.kind_{kind}", locale)),
            "oboe-button",
            type="button",
            data_act="confirm",
            data_kind=kind,
            aria_pressed="true" if kind == question.kind else "false",
        )
        for kind in KINDS
    )
    return element(
        "li",
        element("div", asked + _why(question, fact, locale)) + element("div", kinds + _decision(question, locale)),
        "" if is_open else "oboe-decided",
        data_question=question.id,
        data_open="" if is_open else None,
    )


def _why(question: Question, fact: Fact | None, locale: str) -> str:
    """The fact that a question belongs to, and why that is proposed."""
    lines = words(fact.question, "oboe-linked", "p") if fact and question.kind in OF_FACTS else ""
    if question.reason:
        lines += words(
            text(f"questions_page.reason_{question.reason}", locale, text=question.reason_text), "oboe-reason", "p"
        )
    return lines


def _decision(question: Question, locale: str) -> str:
    """The number of the fact, and whether anybody has agreed."""
    number = question.fact_id if question.fact_id is not None else ""
    box = element(
        "label",
        words(text("questions_page.fact", locale))
        + f'<input name="fact" inputmode="numeric" autocomplete="off" size="6" value="{number}">',
    )
    act, person = ("confirm", "") if question.confirmed_by is None else ("reopen", question.confirmed_by)
    name = text("questions_page.agree" if act == "confirm" else "questions_page.reopen", locale)
    button = element("button", words(name), "oboe-button", type="button", data_act=act)
    by = words(text("questions_page.confirmed_by", locale, person=person), "oboe-reason") if person else ""
    return element("span", box + button + by, "oboe-decision")
