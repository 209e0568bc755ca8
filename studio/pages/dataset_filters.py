"""The filters above the table of examples, and the question before many change, as HTML; it must not know handlers."""

from collections.abc import Iterable
from typing import get_args

from studio.datasets import Facets, Filter
from studio.datasets.filters import SOURCES, Sort
from studio.datasets.model import ExampleStatus
from studio.i18n import sentences, text
from studio.pages.markup import button, element, words
from studio.pages.review_view import flag_name
from training.contract import AnswerStyle, Split

# Every choice is told at once, so that the server knows all of them from one event.
FILTERS_JS = """
const asked = () => Object.fromEntries(
  [...element.querySelectorAll('[data-field]')].map((field) => [field.dataset.field, field.value ?? '']));
element.addEventListener('change', () => trigger('input', {asked: asked()}));
element.addEventListener('click', (event) => {
  const only = event.target.closest('button[data-drop]');
  if (!only) return;
  const drop = only.dataset.drop;
  element.querySelectorAll('[data-field]').forEach((field) => {
    if (drop === 'all' ? field.dataset.field !== 'sort' : field.dataset.field === drop) field.value = '';
  });
  trigger('input', {asked: asked()});
});
"""

CONFIRM_JS = """
const answer = (run) => {
  if (run) window.dispatchEvent(new Event('oboe-selection-done'));
  trigger('click', {run, tag: element.querySelector('input')?.value ?? ''});
};
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-run]');
  if (button) answer(button.dataset.run === 'yes');
});
element.addEventListener('keydown', (event) => {
  if (event.isComposing || event.keyCode === 229) return;
  if (event.code === 'Enter' && event.target.matches('input')) answer(true);
  if (event.code === 'Escape') answer(false);
});
watch('value', () => element.querySelector('input, button')?.focus());
"""


def filters_row(filter: Filter, facets: Facets, locale: str) -> str:
    """A choice for each thing that can be asked for; what a person has asked for stands out."""
    choices = {
        "status": _named(get_args(ExampleStatus), "review_page.status_", locale),
        "kind": _named(("seed", "paraphrase", "reverse", "forward"), "dataset_page.kind_", locale),
        "answer_style": _named(get_args(AnswerStyle), "dataset_page.style_", locale),
        "generator": _sources(facets, locale),
        "split": _named(get_args(Split), "dataset_page.split_", locale),
        "tag": [(tag, tag) for tag in _with(facets.tags, filter.tag)],
        "check": [(code, check_name(code, locale)) for code in _with(facets.checks, filter.check)],
    }
    fields = [_choice(name, getattr(filter, name), options, locale) for name, options in choices.items() if options]
    active = filter != Filter(search=filter.search, sort=filter.sort)
    if filter.fact_id is not None:
        fields.append(_only_fact(filter.fact_id, locale))
    if active:
        clear = text("dataset_page.clear_filters", locale)
        fields.append(button(clear, data_drop="all"))
    sorts = _named(get_args(Sort), "dataset_page.sort_", locale)
    return "".join(fields) + _choice("sort", filter.sort, sorts, locale, may_be_empty=False)


def check_name(code: str, locale: str) -> str:
    """What a check or a gate calls what it found."""
    title = f"checks.title_{code}"
    return text(title, locale) if title in sentences(locale) else flag_name(code, locale)


def confirm_bar(action: str, number: int, *, takes_facts: bool, locale: str) -> str:
    """The question before many examples are changed: how many, and what goes with them."""
    sentence = text(f"dataset_page.confirm_{action}", locale, number=f"{number:,}")
    more = text("dataset_page.confirm_with_facts", locale) if takes_facts else ""
    tag = ""
    if action == "tag":
        tag = f'<input type="text" maxlength="80" placeholder="{text("dataset_page.tag_name", locale)}">'
    run = button(text(f"dataset_page.bulk_{action}", locale), data_run="yes", classes="oboe-primary")
    stop = button(text("dataset_page.confirm_no", locale), data_run="no")
    content = words(sentence, "oboe-strong") + (words(more, "oboe-remedy") if more else "") + tag + run + stop
    return element("div", content, f"oboe-confirm {action}", role="alertdialog")


def _only_fact(fact_id: int, locale: str) -> str:
    """A fact is asked for by other panels alone: its number is carried along."""
    number = text("dataset_page.fact_number", locale, number=fact_id)
    hidden = element("input", "", type="hidden", data_field="fact_id", value=fact_id)
    return hidden + button(f"{number} ×", data_drop="fact_id", classes="oboe-set")


def _choice(name: str, value: str, options: list[tuple[str, str]], locale: str, may_be_empty: bool = True) -> str:
    if may_be_empty:
        options = [("", text("dataset_page.any", locale)), *options]
    listed = "".join(
        element("option", words(label), value=key, selected="selected" if key == value else None)
        for key, label in options
    )
    asked = "oboe-set" if may_be_empty and value else ""
    select = element("select", listed, asked, data_field=name, id=f"filter-{name}")
    return element("label", words(text(f"dataset_page.filter_{name}", locale)) + select, "oboe-filter")


def _named(values: Iterable[str], prefix: str, locale: str) -> list[tuple[str, str]]:
    return [(value, text(prefix + value, locale)) for value in values]


def _sources(facets: Facets, locale: str) -> list[tuple[str, str]]:
    """Who made examples: people, rules and models, and each model by its name."""
    models = [name for name in facets.generators if name and not name.startswith("rules")]
    named = _named(SOURCES, "dataset_page.by_", locale)
    return named + [(name, name) for name in models]


def _with(values: tuple[str, ...], asked: str) -> list[str]:
    """What there is, and what is asked for even where it is not there any more."""
    return [*values, asked] if asked and asked not in values else list(values)
