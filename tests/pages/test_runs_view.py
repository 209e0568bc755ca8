"""The queue, the list of runs and a comparison say what they should, and nothing a person typed becomes markup."""

from datetime import UTC, datetime
from typing import Any

from studio.pages.charts_view import MOST_RUNS
from studio.pages.plan_form import plan_line, plan_of
from studio.pages.run_form import preset_values
from studio.pages.runs_view import MOST_LISTED, comparison_view, run_tools, runs_list
from studio.runs.about import About
from studio.runs.past import Compared
from studio.runs.registry import RunSummary
from training.contract import ProbeRecord, RunStatus

MARKUP = '"><img src=x>'


def run(run_id: str, **known: Any) -> RunSummary:
    given = {"name": run_id, "state": "finished", "created_at": datetime.now(UTC), "has_adapter": True, "ended": True}
    return RunSummary(run_id=run_id, **(given | known))


def typed(**values: Any) -> dict[str, Any]:
    return preset_values("demo") | {"dataset": "demo", **values}


def test_what_waits_is_listed_in_its_order_with_its_reason() -> None:
    runs = [run(name, state="queued", ended=False, reason=f"waits {name}") for name in ("a-1", "b-1", "c-1")]
    drawn = runs_list(runs, ["c-1", "a-1", "gone-1"], "", "ja")
    assert drawn.index("waits c-1") < drawn.index("waits a-1") and "waits b-1" not in drawn
    assert drawn.count("data-cancel") == 2 and drawn.count('disabled="disabled"') == 3  # two ends, and the comparison


def test_nothing_that_a_person_typed_becomes_markup() -> None:
    one = run("a-1", name=MARKUP, note=MARKUP, dataset=MARKUP, base_model=MARKUP, group="g", reason=MARKUP)
    drawn = runs_list([one, run("b-1", group="g")], ["a-1"], "a-1", "en")
    drawn += run_tools("a-1", About(name=MARKUP, note=MARKUP), size_bytes=12, log=[MARKUP], locale="en")
    assert "<img" not in drawn and 'data-runs="b-1 a-1"' in drawn


def test_a_long_list_is_cut_and_says_so() -> None:
    drawn = runs_list([run(f"a-{number}") for number in range(MOST_LISTED + 7)], [], "", "en")
    assert drawn.count("data-run=") == MOST_LISTED and "7 older runs" in drawn


def test_a_run_that_cannot_be_deleted_now_has_no_button_for_it() -> None:
    assert "delete" not in run_tools("a-1", About(name="a"), size_bytes=None, log=[], locale="en").lower()
    assert "1.2 MB" in run_tools("a-1", About(name="a"), size_bytes=1_200_000, log=[], locale="en")


def test_a_comparison_tells_scores_and_the_settings_that_differ() -> None:
    record = ProbeRecord(step=9, epoch=1, question_set="reverse", asked=20, right=17, partly=0, seconds=1)
    compared = Compared(
        run_ids=("a-1", "b-1"),
        names=(MARKUP, "b"),
        settings={"learning_rate": (2e-4, 1e-3), "target_modules": (("attention",), ("all",))},
        statuses=(RunStatus(state="finished"), RunStatus(state="failed")),
        scores={"reverse": (record, None)},
    )
    drawn = comparison_view(compared, "ja")
    assert "85 % (17 / 20)" in drawn and "2e-4" in drawn and "attention" in drawn and "<img" not in drawn


def test_a_comparison_of_more_runs_than_the_charts_show_says_so() -> None:
    names = tuple(f"r-{number}" for number in range(20))
    statuses = (RunStatus(state="finished"),) * 20
    compared = Compared(
        run_ids=names, names=names, settings={"packing": (False, True) * 10}, statuses=statuses, scores={}
    )
    drawn = comparison_view(compared, "en")
    assert f"first {MOST_RUNS} of these 20 runs" in drawn and "<td>off</td>" in drawn
    few = {name: value[:2] for name, value in compared.model_dump(include={"run_ids", "names", "statuses"}).items()}
    assert "first" not in comparison_view(Compared(**few, settings={}, scores={}), "en")


def test_the_form_says_what_a_start_would_queue() -> None:
    assert plan_of(typed(), "").kind == "single" and "1e-4, 5e-4" in plan_line(plan_of(typed(), ""), "en")
    swept = plan_of(typed(learning_rate="1e-4、5e-4"), "")
    assert swept.kind == "sweep" and "2 件" in plan_line(swept, "ja")
    chained = plan_of(typed(stack_adapter=True), "demo")
    assert [config.stack_adapter for config in chained.configs] == [False, True]
    assert "→" in plan_line(chained, "ja")
