"""Facts with the reasons for which they are one, and what a base knows of them, as HTML; not how any of it is found."""

from collections.abc import Mapping, Sequence

from studio.datasets import Example, Fact
from studio.datasets.known import Asking, Knowledge, KnownAnswer
from studio.datasets.proposals import Proposal
from studio.datasets.proposed import FactPage, FactSheet, Overview, Shown, Why
from studio.i18n import text
from studio.pages.markup import bar, element, empty, model_name, notice, pager, words

SHOWN: tuple[Shown, ...] = ("proposed", "confirmed", "all")
# What can be done to all facts at once, as ProposedFacts calls it.
ALL = ("fill", "recover", "confirm")
# A change of what is chosen needs no answer of the server: the bar that merges counts in the browser.
LIST_JS = """
const boxes = (within, name) => [...within.querySelectorAll(`input[name="${name}"]:checked`)];
const chosen = (within, name) => boxes(within, name).map((box) => Number(box.value));
const count = () => {
  const bar = element.querySelector('.oboe-merge');
  if (!bar) return;
  const number = chosen(element, 'fact').length;
  bar.hidden = number < 2;
  bar.querySelector('b').textContent = number;
};
const split = (box) => {
  const sheet = box.closest('article');
  const button = sheet.querySelector('button[data-act="split"]');
  const number = chosen(sheet, 'example').length;
  button.disabled = !number || number === sheet.querySelectorAll('input[name="example"]').length;
};
element.addEventListener('change', (event) => (event.target.name === 'example' ? split(event.target) : count()));
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  const {page, act, fact} = button.dataset;
  if (page) return trigger('click', {page: Number(page)});
  if (act === 'list') return trigger('expand', {fact: Number(fact)});
  const examples = act === 'split' ? chosen(button.closest('article'), 'example') : [];
  trigger('select', {act, facts: act === 'merge' ? chosen(element, 'fact') : [Number(fact)], examples});
});
watch('value', count);
count();
"""
ACTS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.shown) return trigger('select', {shown: button.dataset.shown});
  if ('model' in button.dataset) return trigger('click', {});
  trigger('apply', {act: button.dataset.act, choice: element.querySelector('select')?.value ?? ''});
});
"""


def overview_line(overview: Overview, shown: Shown, locale: str) -> str:
    """Which facts can be shown, with their numbers, and what a proposal is."""
    numbers = {"proposed": overview.proposed, "confirmed": overview.confirmed, "all": overview.facts}
    buttons = "".join(
        element(
            "button",
            words(text(f"facts_page.shown_{name}", locale)) + words(f"{numbers[name]:,}", "oboe-number"),
            "oboe-button",
            type="button",
            data_shown=name,
            aria_pressed="true" if name == shown else "false",
        )
        for name in SHOWN
    )
    open_to = {"fill": overview.unsaid, "recover": overview.alone > 1, "confirm": overview.proposed}
    acts = [
        element("button", words(text(f"facts_page.{act}_all", locale)), "oboe-button", type="button", data_act=act)
        for act in ALL
        if open_to[act]
    ]
    if overview.unsaid:  # beside what the rules fill in
        model = words(text("facts_page.fill_by_model", locale))
        acts.insert(1, element("button", model, "oboe-button", type="button", data_model=""))
    bar = element("nav", buttons + element("span", "".join(acts)), "oboe-shown")
    return bar + words(text("facts_page.explained", locale), "oboe-muted", "p")


def known_form(bases: Sequence[str], locale: str) -> str:
    """Which base is asked what it knows."""
    options = "".join(element("option", words(model_name(base, locale)), value=base) for base in bases)
    choice = element("label", words(text("facts_page.base_model", locale)) + element("select", options))
    buttons = "".join(
        element("button", words(text(f"facts_page.{act}", locale)), "oboe-button", type="button", data_act=act)
        for act in ("ask", "again")
    )
    summary = words(text("facts_page.known_by_base", locale), name="summary")
    return element("details", summary + element("p", choice + buttons, "oboe-ask"), "oboe-known-form")


def facts_list(page: FactPage, known: Mapping[int, KnownAnswer], shown: Shown, locale: str) -> str:
    """One page of facts, each with its reasons and its examples."""
    if not page.sheets:
        return empty(text(f"facts_page.none_{shown}", locale))
    sheets = "".join(_sheet(sheet, known.get(sheet.fact.id), locale) for sheet in page.sheets)
    position = text(
        "facts_page.position", locale, number=f"{page.number:,}", pages=f"{page.pages:,}", total=f"{page.total:,}"
    )
    merge = element("button", words(text("facts_page.merge", locale)), "oboe-button", type="button", data_act="merge")
    number = element("span", "<b></b> " + words(text("facts_page.chosen", locale)))
    bar_below = element("div", number + merge, "oboe-merge", hidden="hidden")
    return sheets + bar_below + (pager(position, page.number, page.pages, locale) if page.pages > 1 else "")


def knowledge_lines(knowledge: Sequence[Knowledge], asking: Asking, locale: str) -> str:
    """What was found out about each base, and how far the asking is that goes on now."""
    lines = [_asking(asking, locale)] if asking.state != "idle" else []
    for found in knowledge:
        values = {name: f"{getattr(found, name):,}" for name in ("known", "unknown", "without_terms", "left")}
        sentence = text("facts_page.knowledge", locale, model=model_name(found.base_model, locale), **values)
        rest = [
            text(f"facts_page.{name}", locale, **values) for name in ("without_terms", "left") if values[name] != "0"
        ]
        lines.append(notice(sentence, "ok", " ".join(rest)))
    return "".join(lines)


def _asking(asking: Asking, locale: str) -> str:
    if asking.state == "failed":
        reason = asking.error.text(locale) if asking.error else ""
        return notice(text("facts_page.asking_failed", locale), "failed", reason)
    if not asking.active:
        return ""
    model, cancel = model_name(asking.base_model, locale), words(text("facts_page.cancel", locale))
    stop = element("button", cancel, "oboe-button", type="button", data_act="cancel")
    if asking.state == "starting":
        sentence, share = text("facts_page.asking_starting", locale, model=model), None
    else:
        numbers = {"done": f"{asking.done:,}", "total": f"{asking.total:,}"}
        sentence, share = text("facts_page.asking", locale, model=model, **numbers), asking.done / asking.total
    return element("p", words(sentence, "oboe-strong") + stop, "oboe-ask") + bar(share)


def _sheet(sheet: FactSheet, known: KnownAnswer | None, locale: str) -> str:
    fact = sheet.fact
    box = f'<input type="checkbox" name="fact" value="{fact.id}">'
    name = element("label", box + words(text("dataset_page.fact_number", locale, number=fact.id), "oboe-strong"))
    numbers = text("facts_page.directions", locale, forward=f"{sheet.forward:,}", reverse=f"{sheet.reverse:,}")
    head = element("header", name + words(numbers, "oboe-muted") + _chips(sheet, known, locale))
    pair = element(
        "dl",
        words(text("dataset_page.question", locale), name="dt")
        + words(fact.question, name="dd")
        + words(text("dataset_page.answer", locale), name="dt")
        + words(fact.answer, name="dd"),
        "oboe-pair",
    )
    reasons = element("ul", "".join(_reason(reason, locale) for reason in sheet.reasons), "oboe-reasons")
    body = head + pair + (reasons if sheet.reasons else "") + said_of(fact, locale) + _examples(sheet, locale)
    return element("article", body, "oboe-panel oboe-proposed", data_fact=fact.id)


def _chips(sheet: FactSheet, known: KnownAnswer | None, locale: str) -> str:
    chips = ""
    if sheet.confirmed_by is not None:
        chips += words(text("facts_page.confirmed_by", locale, person=sheet.confirmed_by).strip(), "oboe-chip")
    if known is not None:
        said = text("facts_page.known" if known.known else "facts_page.unknown", locale)
        chips += element("span", words(said), "oboe-chip base", title=known.answer)
    return chips


def _reason(reason: Why, locale: str) -> str:
    key = f"facts_page.reason_{reason.code}"
    return element("li", words(text(key, locale, text=reason.text, number=f"{reason.count:,}")))


def said_of(fact: Fact | Proposal, locale: str) -> str:
    """What is said of a fact beside its pair."""
    said = (
        ("subject", " ｜ ".join(filter(None, (fact.subject, *fact.spellings)))),
        ("tags", "、".join(fact.tags)),
        ("key_terms", "、".join(" ｜ ".join(term) for term in fact.key_terms)),
    )
    known = [words(text(f"review_page.{name}", locale)) + words(value, name="b") for name, value in said if value]
    return element("p", "".join(known), "oboe-known") if known else ""


def _examples(sheet: FactSheet, locale: str) -> str:
    number = sheet.forward + sheet.reverse
    show = element("summary", words(text("facts_page.examples", locale, number=f"{number:,}")))
    # The seed stays: what is chosen becomes a fact of its own.
    rows = "".join(_example(example, locale) for example in sheet.examples)
    more = number - len(sheet.examples)
    left = words(text("facts_page.more", locale, number=f"{more:,}"), "oboe-muted", "p") if more > 0 else ""
    split = element(
        "button",
        words(text("facts_page.split", locale)),
        "oboe-button",
        type="button",
        data_act="split",
        data_fact=sheet.fact.id,
        disabled="disabled",
    )
    details = element("details", show + element("ul", rows, "oboe-examples") + left + split) if number > 1 else ""
    confirm = _button("confirm", sheet.fact.id, locale) if sheet.reasons and sheet.confirmed_by is None else ""
    return details + element("footer", confirm + _button("list", sheet.fact.id, locale))


def _example(example: Example, locale: str) -> str:
    box = f'<input type="checkbox" name="example" value="{example.id}">'
    kind = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    texts = words(example.question, "oboe-asked", "p") + words(example.answer, "oboe-muted", "p")
    return element("li", element("label", box + kind + element("div", texts)))


def _button(act: str, fact_id: int, locale: str) -> str:
    label = words(text(f"facts_page.{act}", locale))
    return element("button", label, "oboe-button", type="button", data_act=act, data_fact=fact_id)
