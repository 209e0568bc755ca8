"""The queue, past runs and what differs between some of them as HTML; it must not know how runs are kept."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

from studio.i18n import text
from studio.pages.charts_view import MOST_RUNS
from studio.pages.markup import button, element, figure, model_name, size_text, words
from studio.pages.run_form import told_value
from studio.pages.run_view import state_word, tone
from studio.runs.about import About
from studio.runs.past import Compared
from studio.runs.registry import RunSummary
from training.contract import ProbeRecord, QuestionSet, RunStatus

MOST_LISTED = 100

# What is ticked outlives a redraw of the list; a run that is gone is ticked no more.
RUNS_JS = """
const ticked = new Set();
const boxes = () => [...element.querySelectorAll('input[data-compare]')];
const sync = () => {
  const there = new Set(boxes().map((box) => box.value));
  ticked.forEach((run) => there.has(run) || ticked.delete(run));
  boxes().forEach((box) => { box.checked = ticked.has(box.value); });
  const compare = element.querySelector('button[data-compare-ticked]');
  if (compare) compare.disabled = ticked.size < 2;
};
const choose = (row) => {
  element.querySelectorAll('tr[aria-selected]').forEach((other) => other.removeAttribute('aria-selected'));
  row.setAttribute('aria-selected', 'true');
  trigger('select', {run: row.dataset.run});
  document.getElementById('watched')?.scrollIntoView({block: 'nearest'});
};
watch('value', sync);
sync();
element.addEventListener('change', (event) => {
  if (!event.target.matches('input[data-compare]')) return;
  ticked[event.target.checked ? 'add' : 'delete'](event.target.value);
  sync();
});
element.addEventListener('click', (event) => {
  const wanted = event.target.closest('button');
  if (wanted?.dataset.places) return trigger('click', {run: wanted.dataset.run, places: Number(wanted.dataset.places)});
  if (wanted?.dataset.cancel) return trigger('click', {run: wanted.dataset.cancel, places: 0});
  if (wanted?.dataset.runs) return trigger('submit', {runs: wanted.dataset.runs.split(' ')});
  if (wanted) return trigger('submit', {runs: boxes().filter((box) => box.checked).map((box) => box.value)});
  const row = event.target.closest('tr[data-run]');
  if (row && !event.target.closest('label')) choose(row);
});
element.addEventListener('keydown', (event) => {
  if (event.isComposing || !event.target.matches('tr[data-run]')) return;
  if (event.code === 'Enter' || event.code === 'Space') { event.preventDefault(); choose(event.target); }
});
"""

# A field that somebody has typed in keeps what was typed when another run's is drawn, unless it is told.
TOOLS_JS = """
watch('value', () => {
  element.querySelectorAll('input, textarea').forEach((field) => { field.value = field.defaultValue; });
});
element.addEventListener('click', (event) => {
  const wanted = event.target.closest('button')?.dataset.action;
  const run = element.querySelector('[data-run]')?.dataset.run;
  const value = (name) => element.querySelector(`[name=${name}]`).value;
  const ask = (open) => element.querySelectorAll('[data-sure]').forEach((part) => {
    part.hidden = (part.dataset.sure === 'yes') !== open;
  });
  if (wanted === 'keep') trigger('submit', {run, name: value('name'), note: value('note')});
  if (wanted === 'ask') ask(true);
  if (wanted === 'spare') ask(false);
  if (wanted === 'delete') trigger('clear', {run});
  if (wanted === 'clone') {
    trigger('select', {run});
    document.getElementById('run-form')?.scrollIntoView();
  }
});
"""

COMPARISON_JS = """
element.addEventListener('click', (event) => {
  if (event.target.closest('button[data-close]')) trigger('clear', {});
});
"""


def runs_list(runs: Sequence[RunSummary], order: Sequence[str], watched: str, locale: str) -> str:
    """What waits, in its order, then the runs, newest first; choosing one shows it, ticking two compares them."""
    columns = ("compare", "run", "state", "dataset", "base_model", "steps", "loss", "started")
    heads = "".join(
        words(text(f"runs_page.column_{column}", locale), "number" if place > 4 else "", "th")
        for place, column in enumerate(columns)
    )
    rows = "".join(_row(run, run.run_id == watched, locale) for run in runs[:MOST_LISTED])
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    more = len(runs) - MOST_LISTED
    rest = words(text("runs_page.more", locale, number=f"{more:,}"), "oboe-muted", "p") if more > 0 else ""
    return _waiting(runs, order, locale) + _compare_bar(runs, locale) + element("div", table, "oboe-table-frame") + rest


def _waiting(runs: Sequence[RunSummary], order: Sequence[str], locale: str) -> str:
    known = {run.run_id: run for run in runs}
    found = [known[run_id] for run_id in order if run_id in known]
    if not found:
        return ""
    items = "".join(_waiting_item(run, place, len(found), locale) for place, run in enumerate(found))
    title = words(text("runs_page.queue", locale, number=len(found)), name="h4")
    return element("div", title + element("ol", items, "oboe-list"), "oboe-queue")


def _waiting_item(run: RunSummary, place: int, number: int, locale: str) -> str:
    moves = (("earlier", -1, place > 0), ("later", 1, place < number - 1))
    buttons = "".join(
        button(
            text(f"runs_page.{name}", locale),
            data_run=run.run_id,
            data_places=places,
            disabled=None if possible else "disabled",
        )
        for name, places, possible in moves
    )
    buttons += button(text("runs_page.cancel", locale), data_cancel=run.run_id)
    told = words(run.reason, "oboe-muted") if run.reason else ""
    title = element("div", words(run.name) + words(run.run_id, "oboe-muted") + told, "oboe-title")
    return element("li", title + element("span", buttons, "oboe-buttons"))


def _compare_bar(runs: Sequence[RunSummary], locale: str) -> str:
    """A button for the ticked runs, and one for each sweep."""
    ticked = button(text("runs_page.compare", locale), data_compare_ticked="", disabled="disabled")
    in_sweeps = sorted((run for run in runs if run.group), key=lambda run: run.group)
    for group, found in groupby(in_sweeps, key=lambda run: run.group):
        members = [run.run_id for run in found][::-1]
        if len(members) > 1:
            title = text("runs_page.compare_sweep", locale, run=group, number=len(members))
            ticked += button(title, data_runs=" ".join(members))
    return element("div", ticked, "oboe-buttons")


def _row(run: RunSummary, watched: bool, locale: str) -> str:
    box = f'<input type="checkbox" data-compare value="{escape(run.run_id)}">'
    told = [run.run_id] if run.name != run.run_id else []
    told += [text("runs_page.goes_on_from", locale, run=run.init_run)] if run.init_run else []
    told += [run.note.split("\n")[0][:80]] if run.note else []
    second = words(" · ".join(told), "oboe-muted", "div") if told else ""
    cells = (
        element("td", element("label", box, title=text("runs_page.tick", locale, run=run.name))),
        element("td", words(run.name) + second),
        element("td", words(state_word(run, locale), f"oboe-chip {tone(run)}".strip())),
        words(run.dataset, name="td"),
        words(model_name(run.base_model, locale), name="td"),
        words(f"{run.step:,} / {run.total_steps:,}", "number", "td"),
        words(figure(run.train_loss), "number", "td"),
        words(run.created_at.astimezone().strftime("%Y-%m-%d %H:%M"), "number", "td"),
    )
    selected = "true" if watched else None
    return element("tr", "".join(cells), data_run=run.run_id, tabindex=0, aria_selected=selected)


def run_tools(run_id: str, about: About, *, size_bytes: int | None, log: Sequence[str], locale: str) -> str:
    """What can be said about a run and done with it; a size of None is a run that cannot be deleted now."""
    field = f'<input name="name" value="{escape(about.name)}" maxlength="80">'
    name = element("label", words(text("runs_page.name", locale)) + field)
    area = f'<textarea name="note" rows="2" maxlength="4000">{escape(about.note)}</textarea>'
    note = element("label", words(text("runs_page.note", locale)) + area)
    buttons = button(text("runs_page.keep", locale), data_action="keep")
    buttons += button(text("runs_page.clone", locale), data_action="clone")
    if size_bytes is not None:
        buttons += _delete_buttons(run_id, size_bytes, locale)
    body = element("div", name + note, "oboe-about") + element("div", buttons, "oboe-buttons")
    if log:
        summary = words(text("runs_page.log", locale), name="summary")
        body += element("details", summary + words("\n".join(log), name="pre"), "oboe-log")
    return element("div", body, data_run=run_id)


def _delete_buttons(run_id: str, size_bytes: int, locale: str) -> str:
    """Two steps: nothing brings a deleted run back."""
    ask = text("runs_page.delete", locale, size=size_text(size_bytes))
    sure = words(text("runs_page.sure", locale, run=run_id))
    sure += button(text("runs_page.really_delete", locale, size=size_text(size_bytes)), "stop", data_action="delete")
    sure += button(text("runs_page.spare", locale), data_action="spare")
    return button(ask, data_action="ask", data_sure="no") + element("span", sure, data_sure="yes", hidden="hidden")


def comparison_view(compared: Compared, locale: str) -> str:
    """Runs beside one another: how they ended, what they answered, then the settings that differ."""
    close = button(text("runs_page.close", locale), data_close="")
    title = element("div", words(text("runs_page.comparison", locale), name="h3") + close, "oboe-title")
    if len(compared.names) > MOST_RUNS:
        told = text("runs_page.most_charted", locale, number=len(compared.names), shown=MOST_RUNS)
        title += words(told, "oboe-muted", "p")
    heads = element("th", "") + "".join(
        words(name, f"oboe-run-{place % 8}", "th") for place, name in enumerate(compared.names)
    )
    rows = _figure_rows(compared.statuses, locale)
    rows += "".join(_score_row(name, found, locale) for name, found in compared.scores.items())
    rows += "".join(
        _line(text(f"runs.field_{name}", locale), [told_value(value, locale) for value in values])
        for name, values in compared.settings.items()
    )
    if not compared.settings:
        rows += _line(text("runs_page.same_settings", locale), [""] * len(compared.names))
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    return title + element("div", table, "oboe-table-frame")


def _figure_rows(statuses: Sequence[RunStatus], locale: str) -> str:
    rows = _line(text("runs_page.column_state", locale), [state_word(status, locale) for status in statuses])
    steps = [f"{status.step:,} / {status.total_steps:,}" for status in statuses]
    rows += _line(text("runs_page.column_steps", locale), steps)
    for name in ("train_loss", "eval_loss"):
        rows += _line(text(f"runs_page.{name}", locale), [figure(getattr(status, name)) for status in statuses])
    return rows


def _score_row(name: QuestionSet, found: Sequence[ProbeRecord | None], locale: str) -> str:
    return _line(text(f"runs_page.set_{name}", locale), [_score(record) for record in found])


def _score(record: ProbeRecord | None) -> str:
    if record is None or not record.asked:
        return "–"
    return f"{100 * record.right / record.asked:.0f} % ({record.right:,} / {record.asked:,})"


def _line(title: str, values: Sequence[Any]) -> str:
    return element("tr", words(title, name="th") + "".join(words(value, name="td") for value in values))
