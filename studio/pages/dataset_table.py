"""The table of a dataset's examples as HTML; it must not know where they come from."""

from studio.datasets import Counts, Example, Filter, Page
from studio.i18n import text
from studio.pages.markup import button, element, empty, pager, words

# A row is chosen by mouse or keyboard; the mark moves at once, the server answers with the text to edit. Boxes choose
# many: what is chosen stays chosen from page to page, until another filter or dataset is looked at or it is dealt with.
TABLE_JS = """
let many = new Set(), every = false, view = null, last = null;
const boxes = () => [...element.querySelectorAll('input[data-box]')];
const show = () => {
  const frame = element.querySelector('[data-view]');
  if (frame && frame.dataset.view !== view) { many = new Set(); every = false; view = frame.dataset.view; }
  if (!frame) return;
  boxes().forEach((box) => { box.checked = every || many.has(box.dataset.box); });
  element.querySelector('input[data-page-box]').checked = boxes().every((box) => box.checked);
  const bar = element.querySelector('.oboe-bulk'), number = every ? Number(frame.dataset.total) : many.size;
  bar.toggleAttribute('data-open', number > 0);
  const told = bar.querySelector('[data-chosen]');
  told.textContent = told.dataset.chosen.replace('{number}', number.toLocaleString());
  bar.querySelector('[data-choose-all]').hidden = every || many.size >= Number(frame.dataset.total);
};
const check = (box, checked) => { if (checked) many.add(box.dataset.box); else many.delete(box.dataset.box); };
const leave = () => { if (every) { every = false; many = new Set(boxes().map((box) => box.dataset.box)); } };
const choose = (row) => {
  element.querySelectorAll('tr[aria-selected]').forEach((other) => other.removeAttribute('aria-selected'));
  row.setAttribute('aria-selected', 'true');
  trigger('select', {id: Number(row.dataset.id)});
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.page) return trigger('click', {page: Number(button.dataset.page)});
  const ids = every ? null : [...many].map(Number);
  if (button?.dataset.bulk) return trigger('click', {bulk: button.dataset.bulk, ids});
  if (button?.hasAttribute('data-choose-all')) { every = true; return show(); }
  if (button?.hasAttribute('data-choose-none')) { every = false; many = new Set(); return show(); }
  if (event.target.closest('.column-box')) {
    const box = event.target.closest('input');
    if (!box) return;
    leave();
    const all = boxes(), to = all.indexOf(box), from = all.findIndex((other) => other.dataset.box === last);
    if (to < 0) all.forEach((other) => check(other, box.checked));
    else all.slice(...(event.shiftKey && from >= 0 ? [Math.min(from, to), Math.max(from, to) + 1] : [to, to + 1]))
      .forEach((other) => check(other, box.checked));
    last = box.dataset.box ?? null;
    return show();
  }
  const row = event.target.closest('tr[data-id]');
  if (row && !window.getSelection().toString()) choose(row);
});
element.addEventListener('keydown', (event) => {
  if (event.isComposing || !event.target.matches('tr[data-id]')) return;
  const next = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[event.code];
  if (event.code === 'KeyX' && !event.ctrlKey && !event.metaKey) event.target.querySelector('input').click();
  else if (event.code === 'Enter' || event.code === 'Space') { event.preventDefault(); choose(event.target); }
  else if (next && event.target[next]) { event.preventDefault(); event.target[next].focus(); }
});
window.addEventListener('oboe-selection-done', () => { every = false; many = new Set(); show(); });
watch('value', show);
show();
"""
BULK = ("accepted", "rejected", "pending", "tag", "delete")
COLUMNS = ("fact", "kind", "style", "status", "question", "answer")


def examples_table(page: Page, selected: int | None, filter: Filter, locale: str) -> str:
    """One page of examples with the way to the next, and what can be done with those that are chosen."""
    if not page.examples:
        asked = filter != Filter(sort=filter.sort)
        return empty(text("dataset_page.nothing_found" if asked else "dataset_page.no_examples", locale))
    heads = element("th", '<input type="checkbox" data-page-box>', "column-box") + "".join(
        words(text(f"dataset_page.column_{column}", locale), f"column-{column}", "th") for column in COLUMNS
    )
    last_fact, rows = None, []
    for example in page.examples:
        rows.append(_row(example, example.fact_id != last_fact, example.id == selected, locale))
        last_fact = example.fact_id
    body = element("thead", element("tr", heads)) + element("tbody", "".join(rows))
    table = element("div", element("table", body, "oboe-table"), "oboe-table-frame")
    # Whoever looks at something else has chosen nothing of it.
    view = f"{page.examples[0].fact_id if filter.fact_id else ''}{filter.model_dump_json()}"
    content = bulk_bar(f"{page.total:,}", locale) + table
    return element("div", content, data_view=view, data_total=page.total) + _pager(page, locale)


def bulk_bar(total: str, locale: str) -> str:
    """What can be done with the chosen examples; the page's script shows it while some are chosen."""
    actions = "".join(
        button(text(f"dataset_page.bulk_{action}", locale), data_bulk=action, classes=f"oboe-bulk-{action}")
        for action in BULK
    )
    every = button(text("dataset_page.choose_all", locale, total=total), data_choose_all="")
    none = button(text("dataset_page.choose_none", locale), data_choose_none="")
    number = element("span", "", "oboe-strong", data_chosen=text("dataset_page.chosen", locale, number="{number}"))
    hint = words(text("dataset_page.choose_hint", locale), "oboe-muted oboe-hint")
    return element("div", hint + number + actions + every + none, "oboe-bulk", role="toolbar")


def counts_line(counts: Counts, locale: str) -> str:
    """What the dataset holds, by kind, and once what a fact is."""
    kinds = " · ".join(
        f"{text(f'dataset_page.kind_{kind}', locale)} {number:,}" for kind, number in counts.by_kind.items() if number
    )
    figures = text("common.facts_and_examples", locale, facts=f"{counts.facts:,}", examples=f"{counts.examples:,}")
    return (
        words(figures, "oboe-strong")
        + words(kinds, "oboe-muted")
        + words(text("dataset_page.what_is_a_fact", locale), "oboe-muted oboe-explained")
    )


def source_of(generator: str, locale: str) -> str:
    """Who made an example, in words."""
    if not generator:
        return text("dataset_page.source_person", locale)
    if generator.startswith("rules"):
        return text("dataset_page.source_rules", locale)
    return text("dataset_page.source_model", locale, model=generator)


def _row(example: Example, first_of_fact: bool, selected: bool, locale: str) -> str:
    kind = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    status = text(f"review_page.status_{example.status}", locale)
    mark = element("i", "", f"oboe-mark {example.status}", title=status, role="img", aria_label=status)
    cells = (
        element("td", f'<input type="checkbox" tabindex="-1" data-box="{example.id}">', "column-box"),
        words(example.fact_id if first_of_fact else "", "column-fact", "td"),
        element("td", kind, "column-kind"),
        words(text(f"dataset_page.style_{example.answer_style}", locale), "column-style", "td"),
        element("td", mark, "column-status"),
        words(example.question, "column-question", "td"),
        words(example.answer, "column-answer", "td"),
    )
    return element(
        "tr",
        "".join(cells),
        "first-of-fact" if first_of_fact else "",
        data_id=example.id,
        tabindex=0,
        aria_selected="true" if selected else None,
    )


def _pager(page: Page, locale: str) -> str:
    key = "dataset_page.position_more" if page.more else "dataset_page.position"
    position = text(key, locale, number=f"{page.number:,}", pages=f"{page.pages:,}", total=f"{page.total:,}")
    return pager(position, page.number, page.pages, locale)
