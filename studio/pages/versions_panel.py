"""Splits and versions of a dataset: count, change, freeze, compare, go back; it must not know how they are kept.

Layout first, then the wiring. The section is drawn when it is seen, not at every change of the dataset.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.datasets import Filter
from studio.datasets.splits import Splits
from studio.datasets.versions import NOW
from studio.errors import DatasetError, StudioError
from studio.house import Studio
from studio.i18n import text
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty, notice
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.run_form import shown_value
from studio.pages.shell import Shell, moment
from studio.pages.versions_view import (
    COMPARISON_JS,
    KINDS,
    MARK_STALE_JS,
    SPLITS_JS,
    STALE_JS,
    VERSIONS_JS,
    comparison_view,
    splits_table,
    versions_table,
)
from studio.runs.presets import run_config

Values = dict[Any, Any]


@dataclass(frozen=True)
class Panel:
    """What the section is made of."""

    splits: gr.HTML
    fields: dict[str, gr.Textbox]  # one per field of Splits
    keep: gr.Button
    name: gr.Textbox
    freeze: gr.Button
    versions: gr.HTML
    older: gr.Dropdown
    newer: gr.Dropdown
    comparison: gr.HTML
    back: gr.Button
    seen: gr.State  # the dataset whose splits and versions are shown

    def inputs(self) -> set[Any]:
        """What handlers read."""
        return {self.name, self.older, self.newer, self.seen, *self.fields.values()}

    def compared(self) -> list[Any]:
        """What a comparison fills."""
        return [self.older, self.newer, self.comparison, self.back]


def build_versions_panel(studio: Studio, shell: Shell) -> None:
    """The splits on the left, versions and their comparison on the right."""
    stale = drawn("versions-stale", js=STALE_JS)
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=4, min_width=340, elem_classes="oboe-panel"):
            splits = drawn("splits", js=SPLITS_JS, classes="oboe-stack")
            fields = _build_fields()
            keep = gr.Button(label("versions_page.keep_splits"), size="sm", elem_id="keep-splits")
        with gr.Column(scale=7, min_width=340, elem_classes="oboe-panel"):
            panel = _build_panel(splits, fields, keep)
    handlers = _Versions(studio, shell, panel)
    everything = {shell.dataset, shell.person, *panel.inputs()}
    shown = [panel.splits, *panel.fields.values(), panel.versions, panel.seen, *panel.compared()]
    shell.changed.change(None, shell.dataset, stale, js=MARK_STALE_JS)
    stale.expand(handlers.on_show, everything, shown, **QUIET)
    # Pasted text and an input method's fire `change` only.
    typed = [field.change for field in panel.fields.values()]
    gr.on(typed, handlers.on_typed, everything, panel.splits, trigger_mode="always_last", **QUIET)
    panel.keep.click(handlers.on_keep, everything, shell.changed, **PRIVATE)
    panel.splits.select(handlers.on_split, None, shell.filter, **QUIET)
    panel.freeze.click(handlers.on_freeze, everything, [panel.name, shell.changed], **PRIVATE)
    panel.versions.select(handlers.on_choose, everything, panel.compared(), **QUIET)
    sides = [panel.older.input, panel.newer.input]
    gr.on(sides, handlers.on_compare, everything, panel.compared(), **QUIET)
    panel.comparison.click(handlers.on_page, everything, panel.compared(), **QUIET)
    panel.back.click(handlers.on_back, everything, shell.changed, **PRIVATE)


def _build_fields() -> dict[str, gr.Textbox]:
    with gr.Row(elem_id="split-fields"):
        return {
            name: gr.Textbox(
                label=label(f"runs.field_{name}"),
                info=label(f"training_page.help_{name}"),
                elem_id=f"split-{name.replace('_', '-')}",
                min_width=120,
            )
            for name in Splits.model_fields
        }


def _build_panel(splits: gr.HTML, fields: dict[str, gr.Textbox], keep: gr.Button) -> Panel:
    with gr.Row(elem_classes="oboe-toolbar"):
        name = gr.Textbox(
            placeholder=label("versions_page.name"), show_label=False, container=False, elem_id="version-name"
        )
        freeze = gr.Button(label("versions_page.freeze"), variant="primary", size="sm", elem_id="version-freeze")
    versions = drawn("versions", js=VERSIONS_JS)
    with gr.Row(elem_id="version-sides"):
        older, newer = (
            gr.Dropdown([], label=label(f"versions_page.{side}"), elem_id=f"version-{side}", min_width=140)
            for side in ("older", "newer")
        )
        back = gr.Button(label("versions_page.go_back"), visible=False, size="sm", elem_id="version-back")
    return Panel(
        splits=splits,
        fields=fields,
        keep=keep,
        name=name,
        freeze=freeze,
        versions=versions,
        older=older,
        newer=newer,
        comparison=drawn("comparison", js=COMPARISON_JS),
        back=back,
        seen=gr.State(""),
    )


class _Versions:
    """The handlers: read the form, ask the versions once, say what is there."""

    def __init__(self, studio: Studio, shell: Shell, panel: Panel) -> None:
        self.versions = studio.versions
        self.runs = studio.runs
        self.dataset = shell.dataset
        self.person = shell.person
        self.panel = panel

    @shows_errors
    def on_show(self, values: Values, request: gr.Request) -> Values:
        """Everything; what was typed or chosen stays while the dataset is the same."""
        panel, dataset, language = self.panel, values[self.dataset], locale(request)
        if dataset is None:
            return {panel.splits: empty(text("dataset_page.no_dataset", language)), panel.versions: "", panel.seen: ""}
        changed: Values = {panel.seen: dataset}
        if values[panel.seen] != dataset:
            kept = self.versions.splits(dataset).model_dump()
            changed |= {field: shown_value(kept[name]) for name, field in panel.fields.items()}
            changed |= {panel.older: None, panel.newer: NOW}
        values = values | changed
        versions = self.versions.all(dataset)
        if values[panel.older] not in {version.name for version in versions}:
            values[panel.older] = None
        changed[panel.splits] = self.on_typed(values, request)
        changed[panel.versions] = versions_table(versions, self._runs_of(dataset), language)
        return changed | self._compared(values, request)

    def on_typed(self, values: Values, request: gr.Request) -> str:
        """What the splits would hold; a wrong field is told here, beside it."""
        dataset = values[self.dataset]
        if dataset is None:
            return ""
        try:
            splits = self._typed(values)
        except StudioError as error:
            return notice(error.text(locale(request)), "warning")
        counts = self.versions.split_counts(dataset, splits)
        return splits_table(counts, splits != self.versions.splits(dataset), locale(request))

    @shows_errors
    def on_keep(self, values: Values, request: gr.Request) -> int:
        self.versions.set_splits(_named(values[self.dataset]), self._typed(values))
        tell("versions_page.kept", request)
        return moment()

    def on_split(self, event: gr.EventData) -> tuple[dict[str, Any], int]:
        return Filter.model_validate({"split": event.split}).model_dump(), moment()

    @shows_errors
    def on_freeze(self, values: Values, request: gr.Request) -> tuple[str, int]:
        dataset, name = _named(values[self.dataset]), values[self.panel.name]
        version = self.versions.freeze(dataset, name, author=values[self.person])
        tell("versions_page.frozen", request, version=version.name, examples=f"{version.examples:,}")
        return "", moment()

    @shows_errors
    def on_choose(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        return self._compared(values | {self.panel.older: str(event.version), self.panel.newer: NOW}, request)

    @shows_errors
    def on_compare(self, values: Values, request: gr.Request) -> Values:
        return self._compared(values, request)

    @shows_errors
    def on_page(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        return self._compared(values, request, str(event.kind), int(event.page))

    @shows_errors
    def on_back(self, values: Values, request: gr.Request) -> int:
        dataset, version = _named(values[self.dataset]), values[self.panel.older]
        number = self.versions.go_back(dataset, version, author=values[self.person])
        tell("versions_page.gone_back", request, version=version, number=f"{number:,}")
        return moment()

    def _compared(self, values: Values, request: gr.Request, kind: str = "", number: int = 1) -> Values:
        panel, dataset, language = self.panel, values[self.dataset], locale(request)
        older, newer = values[panel.older], values[panel.newer] or NOW
        names = [version.name for version in self.versions.all(dataset)]
        choices = [*((name, name) for name in names), (text("versions_page.now", language), NOW)]
        drawn_now: Values = {
            panel.older: gr.Dropdown(choices=names, value=older),
            panel.newer: gr.Dropdown(choices=choices, value=newer if newer in names else NOW),
            panel.back: gr.Button(visible=False),
        }
        if older is None:
            return drawn_now | {panel.comparison: ""}
        wanted = kind if kind in KINDS else None
        found = self.versions.compare(dataset, older, newer, kind=wanted, number=number)
        differ = any(number for of in found.counts.values() for number in of.values())
        drawn_now[panel.back] = gr.Button(visible=newer == NOW and differ)
        return drawn_now | {panel.comparison: comparison_view(found, older, newer, wanted, language)}

    def _typed(self, values: Values) -> Splits:
        """The splits that were typed, in half or full width; the sentences are those of the training form."""
        typed = {name: values[field] for name, field in self.panel.fields.items()}
        config = run_config(typed | {"dataset": values[self.dataset], "base_model": "-"})
        return Splits(**{name: getattr(config, name) for name in Splits.model_fields})

    def _runs_of(self, dataset: str) -> dict[str, list[str]]:
        """The runs that trained each version, by its reference."""
        found: dict[str, list[str]] = defaultdict(list)
        for run in self.runs.summaries():
            if run.dataset == dataset and run.dataset_version:
                found[run.dataset_version].append(run.name)
        return found


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise DatasetError("dataset_page.no_dataset")
    return dataset
