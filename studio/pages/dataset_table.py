"""The table of a dataset's examples as HTML; it must not know where they come from."""

from studio.datasets import Counts, Example, Page
from studio.i18n import text
from studio.pages.markup import element, empty, pager, words

# A row is chosen by mouse or keyboard; the mark moves at once, the server answers with the text to edit.
TABLE_JS = """
const choose = (row) => {
  element.querySelectorAll('tr[aria-selected]').forEach((other) => other.removeAttribute('aria-selected'));
  row.setAttribute('aria-selected', 'true');
  trigger('select', {id: Number(row.dataset.id)});
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-page]');
  if (button) return trigger('click', {page: Number(button.dataset.page)});
  const row = event.target.closest('tr[data-id]');
  if (row && !window.getSelection().toString()) choose(row);
});
element.addEventListener('keydown', (event) => {
  if (event.isComposing || !event.target.matches('tr[data-id]')) return;
  const next = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[event.code];
  if (event.code === 'Enter' || event.code === 'Space') { event.preventDefault(); choose(event.target); }
  else if (next && event.target[next]) { event.preventDefault(); event.target[next].focus(); }
});
"""


def examples_table(page: Page, selected: int | None, search: str, locale: str) -> str:
    """One page of examples with the way to the next."""
    if not page.examples:
        return empty(text("dataset_page.nothing_found" if search else "dataset_page.no_examples", locale))
    heads = "".join(
        words(text(f"dataset_page.column_{column}", locale), f"column-{column}", "th")
        for column in ("fact", "kind", "style", "question", "answer")
    )
    last_fact, rows = None, []
    for example in page.examples:
        rows.append(_row(example, example.fact_id != last_fact, example.id == selected, locale))
        last_fact = example.fact_id
    body = element("thead", element("tr", heads)) + element("tbody", "".join(rows))
    return element("div", element("table", body, "oboe-table"), "oboe-table-frame") + _pager(page, locale)


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


def example_line(example: Example, locale: str) -> str:
    """Which example is being edited, and where it comes from."""
    kind = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    style = text(f"dataset_page.style_{example.answer_style}", locale)
    source = source_of(example.generator, locale)
    fact = text("dataset_page.fact_number", locale, number=example.fact_id)
    return kind + words(f"{fact} · {style} · {source}", "oboe-muted")


def source_of(generator: str, locale: str) -> str:
    """Who made an example, in words."""
    if not generator:
        return text("dataset_page.source_person", locale)
    if generator.startswith("rules"):
        return text("dataset_page.source_rules", locale)
    return text("dataset_page.source_model", locale, model=generator)


def _row(example: Example, first_of_fact: bool, selected: bool, locale: str) -> str:
    kind = words(text(f"dataset_page.kind_{example.kind}", locale), f"oboe-chip {example.kind}")
    cells = (
        words(example.fact_id if first_of_fact else "", "column-fact", "td"),
        element("td", kind, "column-kind"),
        words(text(f"dataset_page.style_{example.answer_style}", locale), "column-style", "td"),
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
    position = text(
        "dataset_page.position", locale, number=f"{page.number:,}", pages=f"{page.pages:,}", total=f"{page.total:,}"
    )
    return pager(position, page.number, page.pages, locale)
