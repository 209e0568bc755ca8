"""Splits, versions and what became different between two of them as HTML; it must not know how versions are kept."""

import json
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from html import escape

from studio.datasets.images import ChangeKind
from studio.datasets.splits import SplitCounts
from studio.datasets.versions import Comparison, Difference, Version
from studio.i18n import text
from studio.pages.markup import bar, element, empty, notice, pager, words
from training.contract import Split

SPLITS: tuple[Split, ...] = ("train", "heldout_phrasing", "heldout_fact")
KINDS: tuple[ChangeKind, ...] = ("added", "changed", "removed")
# What a person reads of a changed example or fact, in this order; of an example, its texts always.
READ = ("question", "answer", "status", "kind", "answer_style", "fact_id")
READ_OF_FACT = ("subject", "spellings", "tags", "key_terms", "short_answer")
TEXTS = {"question", "answer", "subject"}
LISTS = {"spellings", "tags", "key_terms"}
# Values that have a word of their own.
NAMED = {
    "status": "review_page.status_",
    "kind": "dataset_page.kind_",
    "answer_style": "dataset_page.style_",
}

# After a change the section is drawn again once it is seen: counting a large dataset takes a while.
STALE_JS = """
let drawn = '';
const look = () => {
  const mark = element.querySelector('[data-moment]')?.dataset.moment ?? '';
  if (!mark || mark === drawn || !element.offsetParent) return;
  drawn = mark;
  trigger('expand', {});
};
watch('value', look);
new IntersectionObserver(look).observe(element);
look();
"""
MARK_STALE_JS = '(dataset) => `<i data-moment="${dataset}·${Date.now()}">·</i>`'
SPLITS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-split]');
  if (button) trigger('select', {split: button.dataset.split});
});
"""
VERSIONS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-version]');
  if (button) trigger('select', {version: button.dataset.version});
});
"""
COMPARISON_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-page], button[data-kind]');
  const kind = element.querySelector('button[aria-pressed=true]')?.dataset.kind ?? '';
  if (button) trigger('click', {page: Number(button.dataset.page ?? 1), kind: button.dataset.kind ?? kind});
});
"""


def splits_table(counts: SplitCounts, typed: bool, locale: str) -> str:
    """What each split holds, what it is for, and what stays out; `typed` is a choice that is not kept yet."""
    examples = sum(size.examples for size in counts.sizes.values())
    heads = "".join(
        words(text(f"versions_page.column_{column}", locale), "" if column == "split" else "number", "th")
        for column in ("split", "facts", "phrasings", "examples")
    )
    rows = "".join(_split_row(split, counts, examples, typed, locale) for split in SPLITS)
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    notes = []
    if counts.whole_facts:
        number = f"{counts.whole_facts:,}"
        notes.append(notice(text("versions_page.whole_facts", locale, number=number), "info"))
    if counts.not_accepted:
        number = f"{counts.not_accepted:,}"
        notes.append(notice(text("versions_page.not_accepted", locale, number=number), "info"))
    return element("div", table, "oboe-table-frame") + "".join(notes)


def _split_row(split: Split, counts: SplitCounts, examples: int, typed: bool, locale: str) -> str:
    size = counts.sizes.get(split)
    name = words(text(f"versions_page.split_{split}", locale), "oboe-strong")
    name += words(text(f"versions_page.help_{split}", locale), "oboe-muted", "p")
    figures = (size.facts, size.phrasings, size.examples) if size else (0, 0, 0)
    # The list divides by what is kept, so a choice that is only tried cannot be opened there.
    if size and not typed:
        label = words(text("versions_page.open_split", locale))
        name += element("button", label, "oboe-link", type="button", data_split=split)
    share = bar(figures[2] / examples if examples else 0)
    cells = element("td", name + share) + "".join(words(f"{figure:,}", "number", "td") for figure in figures)
    return element("tr", cells)


def versions_table(versions: Sequence[Version], runs: Mapping[str, Sequence[str]], locale: str) -> str:
    """The versions, newest first, each with the runs that trained it."""
    if not versions:
        return empty(text("versions_page.no_versions", locale))
    columns = ("version", "author", "made", "facts", "examples", "hash", "runs")
    heads = "".join(
        words(text(f"versions_page.column_{name}", locale), "number" if name in ("facts", "examples") else "", "th")
        for name in columns
    )
    rows = "".join(_version_row(version, runs.get(version.reference, ()), locale) for version in versions)
    body = element("thead", element("tr", heads + "<th></th>")) + element("tbody", rows)
    return element("div", element("table", body, "oboe-table"), "oboe-table-frame oboe-short")


def _version_row(version: Version, runs: Sequence[str], locale: str) -> str:
    compare = words(text("versions_page.compare_with_now", locale))
    cells = (
        words(version.name, "oboe-strong", "td"),
        words(version.author or "–", name="td"),
        words(version.made_at.astimezone().strftime("%Y-%m-%d %H:%M"), "oboe-when", "td"),
        words(f"{version.facts:,}", "number", "td"),
        words(f"{version.examples:,}", "number", "td"),
        element("td", words(version.sha256[:12], name="code")),
        words(", ".join(runs) or "–", name="td"),
        element("td", element("button", compare, "oboe-button", type="button", data_version=version.name)),
    )
    return element("tr", "".join(cells))


def comparison_view(found: Comparison, older: str, newer: str, kind: str | None, locale: str) -> str:
    """How much became different, and one page of it with both texts."""
    names = {"older": older, "newer": newer or text("versions_page.now", locale)}
    heading = words(text("versions_page.from_to", locale, **names), name="h3")
    if not any(number for of in found.counts.values() for number in of.values()):
        return heading + notice(text("versions_page.the_same", locale), "ok")
    choices = "".join(_kind_button(one, found, kind, locale) for one in (None, *KINDS))
    facts = {one: f"{found.counts['fact'][one]:,}" for one in KINDS}
    choices += words(text("versions_page.of_facts", locale, **facts), "oboe-muted")
    differences = "".join(_difference(difference, locale) for difference in found.differences)
    values = {"total": f"{found.total:,}", "number": f"{found.number:,}", "pages": f"{found.pages:,}"}
    position = text("versions_page.position", locale, **values)
    pages = pager(position, found.number, found.pages, locale) if found.pages > 1 else ""
    return heading + element("div", choices, "oboe-kinds-line") + (differences or empty("–")) + pages


def _kind_button(kind: ChangeKind | None, found: Comparison, chosen: str | None, locale: str) -> str:
    shown = found.counts["example"] | {"changed": found.counts["example"]["changed"] + found.counts["fact"]["changed"]}
    number = shown[kind] if kind else sum(shown.values())
    label = words(text(f"versions_page.kind_{kind or 'all'}", locale, number=f"{number:,}"))
    pressed = "true" if kind == chosen else "false"
    return element("button", label, "oboe-button", type="button", data_kind=kind or "", aria_pressed=pressed)


def _difference(difference: Difference, locale: str) -> str:
    what = text(f"versions_page.entity_{difference.entity}", locale, number=difference.id)
    head = words(text(f"versions_page.was_{difference.kind}", locale), f"oboe-chip {difference.kind}") + words(what)
    lines = [_line(column, difference, locale) for column in _columns(difference)]
    return element("section", element("header", head) + "".join(lines), "oboe-difference")


def _columns(difference: Difference) -> list[str]:
    before, after = difference.before, difference.after
    if difference.kind != "changed":
        return ["question", "answer"]
    columns = READ if difference.entity == "example" else READ_OF_FACT
    changed = [column for column in columns if before[column] != after[column]]
    # What changed says little without the question that it belongs to.
    return changed if "question" in changed or difference.entity == "fact" else ["question", *changed]


def _line(column: str, difference: Difference, locale: str) -> str:
    label = words(text(f"versions_page.field_{column}", locale), "oboe-muted")
    before, after = (_value(column, side, locale) for side in (difference.before, difference.after))
    if difference.kind != "changed" or before == after:
        return element("p", label + words(before if difference.kind == "removed" else after))
    if column in TEXTS:
        return element("p", label + element("span", _marked(before, after)))
    return element("p", label + element("span", words(before, name="del") + " " + words(after, name="ins")))


def _value(column: str, side: Mapping[str, object], locale: str) -> str:
    value = side.get(column)
    if column in NAMED and value:
        return text(f"{NAMED[column]}{value}", locale)
    if column in LISTS and value:
        return " · ".join("／".join(one) if isinstance(one, list) else one for one in json.loads(str(value))) or "–"
    return "–" if value in (None, "") else str(value)


def _marked(before: str, after: str) -> str:
    """Both texts in one, with what went and what came."""
    parts = []
    for what, start, end, other_start, other_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            parts.append(escape(before[start:end]))
            continue
        if end > start:
            parts.append(words(before[start:end], name="del"))
        if other_end > other_start:
            parts.append(words(after[other_start:other_end], name="ins"))
    return "".join(parts)
