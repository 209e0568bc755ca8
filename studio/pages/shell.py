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
from studio.pages.parts import PRIVATE, QUIET, drawn

TABS = ("dataset", "training", "arena", "settings")
TICK_S = 2.0

# The page's title carries a run's progress; the header's HTML brings it along.
TITLE_JS = """
const sync = () => {
  const status = element.querySelector('[data-title]');
  if (status) document.title = status.dataset.title;
};
watch('value', sync);
sync();
"""
ADDRESS_JS = """() => {
  const address = new URL(window.location);
  address.searchParams.set('tab', 'TAB');
  window.history.replaceState(null, '', address);
}"""


@dataclass(frozen=True)
class Shell:
    """What tabs may read and change of the frame."""

    page: gr.Blocks
    tabs: gr.Tabs
    dataset: gr.Dropdown
    changed: gr.State  # a moment; whatever shows data listens to its change
    status: gr.HTML
    timer: gr.Timer  # ticks while a run is active


def moment() -> int:
    """A value for `Shell.changed` that differs from every earlier one."""
    return time.time_ns()


def build_header(studio: Studio, page: gr.Blocks) -> Shell:
    """The line above the tabs, and the tabs' own frame, not rendered yet."""
    with gr.Row(elem_id="header"):
        brand = drawn("brand", "<h1>Oboe</h1>")
        dataset = gr.Dropdown([], label=label("common.dataset"), elem_id="dataset", interactive=True)
        counts = drawn("dataset-counts")
        status = drawn("status", js=TITLE_JS)
    tabs = gr.Tabs(elem_id="tabs", render=False)
    shell = Shell(page, tabs, dataset, gr.State(0), status, gr.Timer(TICK_S, active=False))
    header = _Header(studio)
    page.load(header.on_load, dataset, [brand, dataset, tabs, shell.changed, status, shell.timer], **QUIET)
    dataset.input(moment, outputs=shell.changed, **QUIET)
    shell.changed.change(header.on_change, dataset, counts, **QUIET)
    shell.timer.tick(header.on_tick, outputs=[status, shell.timer], **QUIET)
    return shell


def keeps_address(tab: gr.Tab, name: str) -> None:
    """Write the opened tab into the address, so that a reload or a link opens it again."""
    tab.select(None, js=ADDRESS_JS.replace("TAB", name), **PRIVATE)


def chosen(studio: Studio, dataset: str | None) -> Any:
    """An update of the chooser with the datasets there are, keeping or taking `dataset`."""
    names = studio.datasets.names()
    return gr.update(choices=names, value=dataset if dataset in names else next(iter(names), None))


class _Header:
    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def on_load(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        asked = dict(request.query_params)
        tab = asked.get("tab") if asked.get("tab") in TABS else TABS[0]
        brand = "<h1>Oboe</h1>" + words(text("common.tagline", locale(request)), name="p")
        status, timer = self.on_tick(request)
        return brand, chosen(self.studio, asked.get("dataset", dataset)), gr.Tabs(selected=tab), moment(), status, timer

    def on_change(self, dataset: str | None, request: gr.Request) -> str:
        if dataset is None:
            return ""
        counts = self.studio.datasets.counts(dataset)
        figures = {"facts": f"{counts.facts:,}", "examples": f"{counts.examples:,}"}
        return words(text("common.facts_and_examples", locale(request), **figures))

    def on_tick(self, request: gr.Request) -> tuple[str, Any]:
        active = self.studio.runs.active()
        return header_status(self.studio, active, locale(request)), gr.Timer(active=active is not None)


def header_status(studio: Studio, active: str | None, language: str) -> str:
    """What the machine is doing, with the title of the page in `data-title`."""
    if active is None:
        return element("span", "", data_title="Oboe")
    status = studio.runs.status(active, language)
    if status.phase != "training" or not status.total_steps:
        return words_with_title(text("common.starting_now", language, run=active), "Oboe")
    percent = 100 * status.step // status.total_steps
    sentence = text("common.training_now", language, run=active, percent=percent)
    return words_with_title(sentence, f"({percent} %) Oboe")


def words_with_title(sentence: str, title: str) -> str:
    """A sentence of the header that also names the page."""
    return element("span", '<i class="oboe-icon busy"></i>' + words(sentence), "oboe-working", data_title=title)
