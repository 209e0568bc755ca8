"""The check before training follows a form that is edited meanwhile, and a copied run sets all that it had."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from studio.datasets.splits import Splits
from studio.house import Studio, open_studio
from studio.pages.plan_form import build_then
from studio.pages.preflight_panel import Watch, _Beside, _Panel
from studio.pages.run_form import build_run_form, preset_values
from studio.pages.runs_panel import _PastRuns
from studio.pages.training_tab import _Training
from tests.test_preflights import ANSWERS
from tests.test_runs import config, eventually
from training.contract import RunFolder

BROWSER: Any = SimpleNamespace(headers={"accept-language": "en"}, session_hash="one")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = open_studio(tmp_path)
    studio.preflights.command = (sys.executable, "-c", ANSWERS)
    yield studio
    for child in studio.preflights._children.values():
        child.process.kill()
        child.process.wait()


class Page:
    """The form of a browser, and the handlers of its panels."""

    def __init__(self, studio: Studio) -> None:
        with gr.Blocks():
            self.form, _ = build_run_form()
            self.then, self.dataset, self.opened, state = build_then(), gr.Dropdown(), gr.State(True), gr.State()
        self.panel = _Panel(studio, self.form, _Beside(self.dataset, self.then, self.opened))
        tab: Any = SimpleNamespace(dataset=self.dataset)
        self.training = _Training(studio, tab, self.form, self.then, None)  # type: ignore[arg-type]
        page: Any = SimpleNamespace(form=self.form, then=self.then, filled=state, charts=None)
        self.past = _PastRuns(studio, page)

    def values(self, then: str = "", **typed: Any) -> dict[Any, Any]:
        shown = preset_values("demo") | typed
        beside = {self.then: then, self.dataset: "demo", self.opened: True}
        return {part: shown[name] for name, part in self.form.items()} | beside


def is_off(timer: Any) -> bool:
    return isinstance(timer, gr.Timer) and not timer.active


def test_a_form_that_is_edited_while_a_check_answers_is_checked_after_it(studio: Studio) -> None:
    page = Page(studio)
    _, first, _ = page.panel.on_form(page.values(), BROWSER)
    watch = page.panel.on_tick(first, Watch(), "", BROWSER)[2]
    eventually(lambda: studio.preflights.result(watch.key))
    drawn, edited, timer = page.panel.on_form(page.values(learning_rate="1e-5"), BROWSER)
    assert "oboe-busy" in drawn and timer.active
    late, _, watch, timer = page.panel.on_tick(first, watch, "", BROWSER)  # it began before the edit, and is over now
    assert "oboe-busy" not in late and not is_off(timer)
    drawn, _, watch, timer = page.panel.on_tick(edited, watch, "", BROWSER)
    assert "1e-05" in drawn and "oboe-busy" in drawn and not is_off(timer)
    assert isinstance(page.panel.on_budget(first, watch, "1", BROWSER), dict)  # nothing is told of another form
    eventually(lambda: studio.preflights.result(watch.key))
    watch = page.panel.on_tick(edited, watch, "", BROWSER)[2]
    assert watch.found and is_off(page.panel.on_tick(edited, watch, "", BROWSER)[3])


def test_a_form_that_became_wrong_shows_no_late_answer_for_long(studio: Studio) -> None:
    page = Page(studio)
    _, first, _ = page.panel.on_form(page.values(), BROWSER)
    watch = page.panel.on_tick(first, Watch(), "", BROWSER)[2]
    _, wrong, _ = page.panel.on_form(page.values(learning_rate="fast"), BROWSER)
    drawn, more, watch, _ = page.panel.on_tick(wrong, watch, "", BROWSER)
    assert (drawn, more) == ("", "") and is_off(page.panel.on_tick(wrong, watch, "", BROWSER)[3])


def test_data_that_cannot_be_trained_is_told_in_the_panel(studio: Studio) -> None:
    page = Page(studio)
    _, asked, _ = page.panel.on_form(page.values(dataset_version="nobody@1"), BROWSER)
    told, _, watch, _ = page.panel.on_tick(asked, Watch(), "", BROWSER)
    assert "nobody@1" in told and is_off(page.panel.on_tick(asked, watch, "", BROWSER)[3])


def test_the_panel_tells_of_the_second_stage_of_a_chain(studio: Studio) -> None:
    page = Page(studio)
    _, asked, _ = page.panel.on_form(page.values(then="demo-cpt-sft"), BROWSER)
    at_once, _, watch, _ = page.panel.on_tick(asked, Watch(), "", BROWSER)
    assert "oboe-stage" in at_once
    eventually(lambda: studio.preflights.result(watch.key))
    told = page.panel.on_tick(asked, watch, "", BROWSER)[0]
    assert "oboe-stage" in told and "Training 2:" in told and "not tokens, memory and time" in told
    _, asked, _ = page.panel.on_form(page.values(lora_dropout="0, 0.1"), BROWSER)
    watch = page.panel.on_tick(asked, watch, "", BROWSER)[2]
    eventually(lambda: studio.preflights.result(watch.key))
    assert "Of these 2 runs" in page.panel.on_tick(asked, watch, "", BROWSER)[0]


def a_run(studio: Studio, **fields: Any) -> str:
    folder = RunFolder(studio.runs.root / "old-1")
    folder.root.mkdir(parents=True)
    folder.config.write_text(config(**fields).model_dump_json())
    return "old-1"


def test_a_copied_run_sets_all_that_it_had_and_its_division_stays(studio: Studio) -> None:
    page = Page(studio)
    studio.versions.set_splits("demo", Splits(heldout_phrasings=5))
    version = studio.versions.freeze("demo", "first").reference
    run_id = a_run(studio, dataset_version=version, heldout_phrasings=2, lora_r=8, packing=True)
    copied = page.past.on_clone(SimpleNamespace(run=run_id), BROWSER)  # type: ignore[arg-type]
    values = dict(zip(page.form, copied, strict=False))
    then, filled, dataset, _ = copied[len(page.form) :]
    assert (values["heldout_phrasings"], values["lora_r"], values["packing"]) == ("2", "8", True)
    assert values["dataset_version"].value == version and (then, dataset) == ("", "demo")
    # The dataset that the copy brings along says how it is divided: the run's own division stands.
    after = page.training.on_dataset(values["preset"], dataset, filled)
    assert all(isinstance(one, dict) and one.get("__type__") == "update" for one in after)
    _, *splits, chosen = page.training.on_dataset(values["preset"], None, filled)
    assert splits[0] == preset_values(values["preset"])["heldout_phrasings"] and chosen.value == ""


def test_a_version_that_is_gone_is_not_copied(studio: Studio) -> None:
    page = Page(studio)
    copied = page.past.on_clone(SimpleNamespace(run=a_run(studio, dataset_version="gone@1")), BROWSER)  # type: ignore[arg-type]
    assert dict(zip(page.form, copied, strict=False))["dataset_version"].value == ""


def test_a_reset_takes_back_what_was_to_come_after(studio: Studio) -> None:
    page = Page(studio)
    then, *values = page.training.on_preset("demo", "demo")
    assert then == "" and dict(zip(page.form, values, strict=True))["dataset_version"] == ""
