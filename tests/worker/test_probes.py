"""When questions are asked, what that may cost, and what is kept of the answers."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.worker.running import make_run
from training import worker
from training.contract import ProbeAnswer, ProbeQuestion, ProbeRecord, RunFolder, RunStatus
from training.probes import SHARE, Pace, ProbeCallback, interleaved, records_of

SETS = ("trained", "heldout_phrasing", "out_of_domain")
STEPS = 4  # of an epoch


class Clock:
    """Time that passes only where somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeExaminer:
    """Takes `cost_s` a question. `right` decides by set and probe (0 is the base); `fails` raises."""

    def __init__(self, clock: Clock, cost_s: float = 0.0) -> None:
        self.clock, self.cost_s = clock, cost_s
        self.right: Callable[[str, int], bool] = lambda question_set, probe: True
        self.error: Exception | None = None
        self.asked: list[tuple[bool, int]] = []
        self.probe = 0

    def ask(
        self, model: Any, questions: Sequence[ProbeQuestion], *, adapter: bool, within_s: float
    ) -> list[ProbeAnswer] | None:
        self.asked.append((adapter, len(questions)))
        if self.error:
            raise self.error
        needed_s = self.cost_s * len(questions)
        self.clock.now += min(needed_s, within_s)
        if needed_s > within_s:
            return None
        verdicts = ["right" if self.right(q.question_set, self.probe) else "wrong" for q in questions]
        return [
            ProbeAnswer(question=q.question, answer="答え", reply_state="ok", verdict=verdict)
            for q, verdict in zip(questions, verdicts, strict=True)
        ]


class FakeReport:
    """A status that is on no disk."""

    def __init__(self) -> None:
        self.status = RunStatus(state="running")

    def update(self, **changes: Any) -> None:
        self.status = self.status.model_copy(update=changes)


class Training:
    """A run of `epochs` epochs whose steps take `step_s`, seen by a callback alone."""

    def __init__(self, root: Path, *, per_set: int = 20, epochs: int = 4, step_s: float = 10.0) -> None:
        self.folder = RunFolder(root)
        self.clock, self.step_s = Clock(), step_s
        self.examiner = FakeExaminer(self.clock)
        self.left_out: list[float] = []
        self.state = SimpleNamespace(
            global_step=0, max_steps=epochs * STEPS, num_train_epochs=epochs, epoch=0.0, is_world_process_zero=True
        )
        made = [
            ProbeQuestion(question_set=name, question=f"{name} {place}", reference="答え", tags=(f"作品{place % 2}",))
            for name in SETS
            for place in range(per_set)
        ]
        self.folder.probe_questions.write_text("".join(q.model_dump_json() + "\n" for q in made), "utf-8")
        self.callback = self.resumed()

    def resumed(self) -> ProbeCallback:
        self.report = FakeReport()
        callback = ProbeCallback(self.folder, self.examiner, self.report, self.left_out.append)  # type: ignore[arg-type]
        callback.pace = Pace(0.0, self.clock)
        return callback

    def train(self, epochs: int) -> None:
        self.callback.on_train_begin(None, self.state, None)  # type: ignore[arg-type]
        for _ in range(epochs):
            for _ in range(STEPS):
                self.clock.now += self.step_s
                self.state.global_step += 1
                self.state.epoch += 1 / STEPS
                self.callback.on_step_end(None, self.state, None)  # type: ignore[arg-type]
            self.examiner.probe += 1
            self.callback.on_epoch_end(None, self.state, None)  # type: ignore[arg-type]

    @property
    def records(self) -> list[ProbeRecord]:
        return self.folder.read_probes()[0]

    @property
    def probed(self) -> dict[int, int]:
        """Step: questions asked."""
        steps = dict.fromkeys(record.step for record in self.records)
        return {step: sum(record.asked for record in self.records if record.step == step) for step in steps}


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def test_every_epoch_asks_all_sets_and_the_base_stands_at_step_0(training: Training) -> None:
    training.examiner.cost_s = 0.001
    training.train(4)
    assert training.probed == {0: 60, 4: 60, 8: 60, 12: 60, 16: 60}
    assert [record.question_set for record in training.records[:3]] == list(SETS)
    assert training.examiner.asked == [(False, 32), (False, 28), *[(True, 32), (True, 28)] * 4]
    assert training.records[0].by_tag == {"作品0": (10, 10), "作品1": (10, 10)}


@pytest.mark.parametrize("cost_s", [0.01, 0.03, 0.1, 0.3, 1.0, 30.0])
def test_probes_never_take_more_than_their_share_of_the_run(tmp_path: Path, cost_s: float) -> None:
    training = Training(tmp_path, epochs=10)
    training.examiner.cost_s = cost_s
    training.train(10)
    assert sum(training.left_out) <= SHARE * 10 * STEPS * training.step_s
    assert training.clock.now == pytest.approx(10 * STEPS * training.step_s + sum(training.left_out))


def test_a_probe_thins_itself_alike_in_every_set_and_keeps_to_its_questions(training: Training) -> None:
    training.examiner.cost_s = 0.04  # 8 s for all probes of the run, 2.4 s for 60 questions
    training.train(4)
    assert training.probed == {0: 32, 4: 32, 8: 32, 12: 32, 16: 32}
    sizes = [record.asked for record in training.records[:3]]
    assert max(sizes) - min(sizes) <= 1


def test_epochs_are_passed_over_where_even_one_batch_takes_long_and_the_last_is_not(tmp_path: Path) -> None:
    training = Training(tmp_path, epochs=20)
    training.examiner.cost_s = 0.2  # 40 s for all probes, 6.4 s for one batch
    training.train(20)
    probed = list(training.probed)
    assert probed[-1] == 20 * STEPS
    assert len(probed) == 6 and max(after - before for before, after in pairwise(probed)) <= 7 * STEPS


def test_the_best_step_is_the_one_with_the_best_held_out_phrasings(training: Training) -> None:
    training.examiner.right = lambda name, probe: name != "heldout_phrasing" or probe == 2
    training.train(4)
    assert (training.callback.best_step, training.callback.without_better) == (8, 2)


def test_between_equals_the_later_step_is_best_unless_it_forgot(training: Training) -> None:
    training.examiner.right = lambda name, probe: name != "out_of_domain" or probe < 4
    training.train(4)
    assert (training.callback.best_step, training.callback.without_better) == (12, 3)


def test_a_resumed_run_asks_on_as_if_it_had_never_ended(training: Training) -> None:
    training.examiner.cost_s = 0.04
    training.train(2)
    before = training.probed
    training.callback = training.resumed()
    training.train(2)
    assert list(training.probed) == [0, 4, 8, 12, 16] and set(training.probed.values()) == set(before.values())
    assert training.callback.best_step == 16 and sum(not adapter for adapter, _ in training.examiner.asked) <= 2


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), RuntimeError("broken")])
def test_a_probe_that_fails_never_ends_the_run_and_asks_fewer_at_a_time(training: Training, error: Exception) -> None:
    training.examiner.error = error
    training.train(1)
    training.examiner.error = None
    training.train(1)
    assert 8 in training.probed and max(size for _, size in training.examiner.asked[2:]) <= 2
    assert training.report.status.phase == "training"


def test_what_fails_in_the_smallest_batch_too_is_asked_no_more(training: Training) -> None:
    training.examiner.error = RuntimeError("broken")
    training.train(4)
    assert len(training.examiner.asked) == 3 and training.records == []


def test_a_run_without_questions_asks_nothing_and_only_the_first_process_does(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    silent, second = Training(tmp_path, per_set=0), Training(tmp_path / "other")
    silent.train(4)
    second.state.is_world_process_zero = False
    second.train(4)
    assert silent.examiner.asked == second.examiner.asked == []


@pytest.mark.usefixtures("signals_restored")
def test_a_run_that_is_asked_has_the_very_losses_of_one_that_is_not(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.probes.SHARE", 1000.0)
    monkeypatch.setattr("training.examiner.REASONING_TOKENS", 4)
    silent, asked = (make_run(tmp_path / name, tiny_model, max_steps=-1, num_train_epochs=2) for name in ("a", "b"))
    made = [
        ProbeQuestion(question_set=name, question="主人公は誰？", reference="ミナト") for name in SETS for _ in "ab"
    ]
    asked.probe_questions.write_text("".join(q.model_dump_json() + "\n" for q in made), "utf-8")
    assert [worker.main([str(run.root)]) for run in (silent, asked)] == [0, 0]
    losses = [[record.loss for record in run.read_metrics()[0]] for run in (silent, asked)]
    assert losses[0] == losses[1]
    steps = [record.step for record in asked.read_probes()[0]]
    assert steps == [0] * 3 + [5] * 3 + [10] * 3 and not silent.probes.exists()
    status = asked.read_status()
    assert status is not None and status.best_step == 10


def test_a_beginning_of_the_questions_holds_every_set() -> None:
    made = [ProbeQuestion(question_set=name, question=name, reference="") for name in SETS for _ in range(3)]
    assert [question.question_set for question in interleaved(made)] == list(SETS) * 3


def test_a_record_counts_its_verdicts_by_tag() -> None:
    question = ProbeQuestion(question_set="trained", question="誰？", reference="ミナト", tags=("星", "海"))
    said = [ProbeAnswer(question="誰？", answer="", reply_state="ok", verdict=v) for v in ("right", "partly", "wrong")]
    (record,) = records_of([(question, answer) for answer in said], step=3, epoch=1.0, seconds=1.5)
    assert (record.asked, record.right, record.partly, record.seconds) == (3, 1, 1, 1.5)
    assert record.by_tag == {"星": (1, 3), "海": (1, 3)}
