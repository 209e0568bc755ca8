"""The frame around the tabs: name, dataset chooser, what the machine is doing, and the bus that tells views of changes.

Knows which dataset and tab a browser is at, not what the tabs show.
"""

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.house import Studio
from studio.i18n import text
from studio.pages.language import label, locale
from studio.pages.markup import element, words
from studio.pages.parts import QUIET, drawn

TABS = ("dataset", "training", "arena", "settings")
TICK_S = 2.0
# Nothing is known to run, but another page, program or person may have started something.
IDLE_TICK_S = 10.0

# The page's title carries a run's progress; the header's HTML brings it along. An opened tab goes into the address.
STATUS_JS = """
const sync = () => {
  const status = element.querySelector('[data-title]');
  if (status) document.title = status.dataset.title;
};
watch('value', sync);
sync();
document.addEventListener('click', (event) => {
  const tab = event.target.closest('#tabs > .tab-wrapper button[role="tab"]');
  if (!tab) return;
  const address = new URL(window.location);
  address.searchParams.set('tab', tab.id.replace(/^tab-|-button$/g, ''));
  window.history.replaceState(null, '', address);
});
"""

# So does the chosen dataset: a reload finds both again.
DATASET_JS = """(name) => {
  const address = new URL(window.location);
  if (name) address.searchParams.set('dataset', name);
  window.history.replaceState(null, '', address);
}"""

# A browser is a person's own: it keeps the name, and every window of it has it.
PERSON_JS = "() => window.localStorage.getItem('oboe-person') ?? ''"
KEEP_PERSON_JS = "(name) => window.localStorage.setItem('oboe-person', name.trim())"


@dataclass(frozen=True)
class Shell:
    """What tabs may read and change of the frame."""

    page: gr.Blocks
    dataset: gr.Dropdown
    changed: gr.State  # a moment; whatever shows data listens to its change
    runs_changed: gr.State  # a moment; set when a run was started or has ended
    section: gr.State  # the section of the dataset tab that shall open: (name, moment), and what augmenting shall make
    filter: gr.State  # what the list shall show: (the dump of a Filter, moment); the list opens
    person: gr.Textbox  # the name of who is at this browser
    timer: gr.Timer  # ticks often while a run is active, seldom otherwise


def moment() -> int:
    """A value for `Shell.changed` that differs from every earlier one."""
    return time.time_ns()


def build_header(studio: Studio, page: gr.Blocks) -> Shell:
    """The line above the tabs."""
    with gr.Row(elem_id="header"):
        brand = drawn("brand", "<h1>Oboe</h1>")
        dataset = gr.Dropdown([], label=label("common.dataset"), elem_id="dataset", interactive=True)
        counts = drawn("dataset-counts")
        person = gr.Textbox(label=label("common.person"), max_length=40, elem_id="person")
        status = drawn("status", js=STATUS_JS)
    shell = Shell(
        page=page,
        dataset=dataset,
        changed=gr.State(0),
        runs_changed=gr.State(0),
        section=gr.State(("list", 0)),
        filter=gr.State(({}, 0)),
        person=person,
        timer=gr.Timer(IDLE_TICK_S),
    )
    header, seen = _Header(studio), gr.State("")
    working = [status, shell.timer, seen, shell.runs_changed]
    page.load(header.on_load, dataset, [brand, dataset, shell.changed, *working], **QUIET)
    dataset.input(moment, outputs=shell.changed, **QUIET)
    shell.changed.change(header.on_change, dataset, counts, **QUIET)
    dataset.change(None, dataset, None, js=DATASET_JS)
    page.load(None, None, person, js=PERSON_JS)
    person.change(None, person, None, js=KEEP_PERSON_JS)
    shell.timer.tick(header.on_tick, seen, working, **QUIET)
    shell.runs_changed.change(header.on_runs_changed, outputs=working[:3], **QUIET)
    return shell


def open_asked_tab(shell: Shell, tabs: gr.Tabs) -> None:
    """Open the tab that the page's address names."""

    def on_load(request: gr.Request) -> Any:
        asked = dict(request.query_params).get("tab")
        return gr.Tabs(selected=asked) if asked in TABS else gr.skip()

    shell.page.load(on_load, None, tabs, **QUIET)


def chosen(studio: Studio, dataset: str | None) -> Any:
    """An update of the chooser with the datasets there are, keeping or taking `dataset`."""
    names = studio.datasets.names()
    return gr.update(choices=names, value=dataset if dataset in names else next(iter(names), None))


class _Header:
    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def on_load(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        asked = dict(request.query_params)
        brand = "<h1>Oboe</h1>" + words(text("common.tagline", locale(request)), name="p")
        dataset = asked.get("dataset", dataset)
        return brand, chosen(self.studio, dataset), moment(), *self.on_runs_changed(request), moment()

    def on_change(self, dataset: str | None, request: gr.Request) -> str:
        if dataset is None:
            return ""
        counts = self.studio.datasets.counts(dataset)
        figures = {"facts": f"{counts.facts:,}", "examples": f"{counts.examples:,}"}
        return words(text("common.facts_and_examples", locale(request), **figures))

    def on_tick(self, seen: str, request: gr.Request) -> tuple[Any, ...]:
        """Tells the views when a run has begun or ended, wherever it was started."""
        status, timer, active = self.on_runs_changed(request)
        return status, timer, active, gr.skip() if active == seen else moment()

    def on_runs_changed(self, request: gr.Request) -> tuple[str, gr.Timer, str]:
        active = self.studio.runs.active()
        timer = gr.Timer(TICK_S if active else IDLE_TICK_S)
        return header_status(self.studio, active, locale(request)), timer, active or ""


def header_status(studio: Studio, active: str | None, language: str) -> str:
    """What the machine is doing, with the title of the page in `data-title`."""
    if active is None:
        return element("span", "", data_title="Oboe")
    status = studio.runs.status(active, language)
    if status.phase != "training" or not status.total_steps:
        return _titled(text("common.starting_now", language, run=active), "Oboe")
    percent = 100 * status.step // status.total_steps
    sentence = text("common.training_now", language, run=active, percent=percent)
    return _titled(sentence, f"({percent} %) Oboe")


def _titled(sentence: str, title: str) -> str:
    return element("span", '<i class="oboe-icon busy"></i>' + words(sentence), "oboe-working", data_title=title)
