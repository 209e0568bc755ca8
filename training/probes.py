"""Probes: after every epoch a sample of questions is answered and scored, into probes.jsonl.

A probe takes at most SHARE of a run's time, thins itself for that and says so in the log, and never ends a run. It
must not know how a model answers or who draws the scores.
"""

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import ProbeAnswer, ProbeQuestion, ProbeRecord, RunFolder
from training.examiner import Examiner
from training.report import Report

log = logging.getLogger(__name__)

SHARE = 0.05
# The base is asked when so many steps have told how long the run will take; it is the same base then.
WARM_STEPS = 3
# Questions answered together. A batch takes about as long as one question alone: reading the weights costs the time.
BATCH = 32
STEPS_LOOKED_AT = 100
Answered = tuple[ProbeQuestion, ProbeAnswer]


class Pace:
    """What probes may cost: SHARE of the time that the whole run will take, told from its steps so far."""

    def __init__(self, before_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.spent_s = 0.0
        self.steps = 0
        self._before_s = before_s
        self._mark = clock()
        self._latest: deque[float] = deque(maxlen=STEPS_LOOKED_AT)

    def begin(self) -> None:
        """The next step begins now."""
        self._mark = self.clock()

    def stepped(self) -> None:
        """A step has ended, and the next one begins."""
        self.steps += 1
        self._latest.append(self.clock() - self._mark)
        self.begin()

    def left_s(self, total_steps: int) -> float:
        """Seconds that probes may still take."""
        return SHARE * (self._before_s + median(self._latest) * total_steps) - self.spent_s

    def spent(self, seconds: float) -> None:
        """A probe took so long; no step is blamed for it."""
        self.spent_s += seconds
        self._mark += seconds


class ProbeCallback(TrainerCallback):
    """Asks after every epoch, and the base once.

    `best_step` is the step with the best score on held-out phrasings (what else it knows decides between equals), None
    without such questions; `without_better` is how many probes since have not beaten that score. `leave_out` is told
    the seconds that a probe took. Of several processes the first one asks, and all learn the result.
    """

    def __init__(
        self, folder: RunFolder, examiner: Examiner, report: Report, leave_out: Callable[[float], None]
    ) -> None:
        self.best_step: int | None = None
        self.without_better = 0
        self.pace = Pace(time.time() - (report.status.started_at or report.status.updated_at).timestamp())
        self._folder = folder
        self._examiner = examiner
        self._report = report
        self._leave_out = leave_out
        self._questions = interleaved(folder.read_probe_questions())
        self._best = (-1.0, -1.0)
        self._base_asked = False
        self._cost_s = 0.0
        self._batch = BATCH

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up what was asked before the step that a resumed run goes on from."""
        records = self._folder.read_probes()[0]
        for step in dict.fromkeys(record.step for record in records):
            asked = [record for record in records if record.step == step]
            self._questions = self._questions[: sum(record.asked for record in asked)]
            self._cost_s = sum(record.seconds for record in asked)
            self.pace.spent_s += self._cost_s
            self._base_asked = True
            self._judge(step, asked)
        self.pace.begin()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Ask the base as soon as it is known what that may cost."""
        self.pace.stepped()
        if self.pace.steps == WARM_STEPS:
            self._ask_base(state, model)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Ask the model as it is now."""
        self._ask_base(state, model)
        if self._wanted(state) and self._affordable(state):
            self._guarded(state, lambda: self._ask_adapter(state, model))
        self._tell_others()

    def _ask_base(self, state: TrainerState, model: Any) -> None:
        """What the base answers in its part of the time is what every probe asks from then on."""
        if self._wanted(state) and not self._base_asked:
            self._base_asked = True
            self._guarded(state, lambda: self._measure_base(state, model))

    def _measure_base(self, state: TrainerState, model: Any) -> None:
        sittings = 1 + max(1, math.ceil(state.num_train_epochs - (state.epoch or 0.0)))
        left_s = self.pace.left_s(state.max_steps)
        answered = self._sitting(model, left_s / sittings, at_most_s=left_s / 2, adapter=False)
        if len(answered) < len(self._questions):
            log.warning(
                "probes ask %d of %d questions: all of them would take more than %.0f %% of the run's time",
                len(answered) or min(BATCH, len(self._questions)),
                len(self._questions),
                100 * SHARE,
            )
        self._questions = self._questions[: len(answered) or BATCH]
        self._keep(answered, step=0, epoch=0.0)

    def _ask_adapter(self, state: TrainerState, model: Any) -> None:
        left_s = self.pace.left_s(state.max_steps)
        answered = self._sitting(model, left_s, at_most_s=left_s, adapter=True)
        if len(answered) == len(self._questions):
            self._judge(state.global_step, self._keep(answered, step=state.global_step, epoch=state.epoch or 0.0))

    def _sitting(self, model: Any, within_s: float, *, at_most_s: float, adapter: bool) -> list[Answered]:
        """Answers to the questions in turn, as many as are likely to come `within_s`; what is cut does not count."""
        began, answered = self.pace.clock(), list[Answered]()
        while len(answered) < len(self._questions):
            batch = self._questions[len(answered) :][: self._batch]
            used_s = self.pace.clock() - began
            if answered and used_s * (1 + self._batch / len(answered)) > within_s:
                break
            replies = self._examiner.ask(model, batch, adapter=adapter, within_s=at_most_s - used_s)
            if replies is None:
                break
            answered += zip(batch, replies, strict=True)
        self._cost_s = self.pace.clock() - began
        return answered

    def _wanted(self, state: TrainerState) -> bool:
        return bool(self._questions) and self.pace.steps > 0 and state.is_world_process_zero

    def _affordable(self, state: TrainerState) -> bool:
        """Whether all probes to come fit; else whether enough steps have passed for one, and the last one is spared."""
        to_come = 1 + max(0, math.ceil(state.num_train_epochs - (state.epoch or 0.0)))
        earned_s, left_s = self.pace.left_s(state.global_step), self.pace.left_s(state.max_steps)
        is_last = state.global_step >= state.max_steps
        one_at_a_time = self._cost_s <= earned_s and (1 if is_last else 2) * self._cost_s <= left_s
        affordable = one_at_a_time or (to_come * self._cost_s <= left_s and not is_last)
        if not affordable:
            log.info("no probe at step %d: it would take more than its share of the run's time", state.global_step)
        return affordable

    def _guarded(self, state: TrainerState, ask: Callable[[], None]) -> None:
        """Time a probe and survive it: nothing that goes wrong in one is worth the run."""
        began = self.pace.clock()
        self._report.update(phase="evaluating", step=state.global_step)
        try:
            ask()
        except Exception:
            log.exception("the probe at step %d failed; the run goes on", state.global_step)
            # Memory may have run out; whatever fails in the smallest batch too is not asked again.
            self._batch //= 4
            self._questions = self._questions if self._batch else []
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        took_s = self.pace.clock() - began
        self.pace.spent(took_s)
        self._leave_out(took_s)
        self._report.update(phase="training")

    def _keep(self, answered: Sequence[Answered], *, step: int, epoch: float) -> list[ProbeRecord]:
        records = records_of(answered, step=step, epoch=round(epoch, 4), seconds=self._cost_s)
        with self._folder.probes.open("a", encoding="utf-8") as lines:
            lines.writelines(record.model_dump_json() + "\n" for record in records)
        return records

    def _judge(self, step: int, records: Sequence[ProbeRecord]) -> None:
        """Remember the best step. Between equals the later one: it has been trained longer and forgot no more."""
        scores = {record.question_set: (record.right + record.partly / 2) / record.asked for record in records}
        if step == 0 or "heldout_phrasing" not in scores:
            return
        score = (scores["heldout_phrasing"], scores.get("out_of_domain", 0.0))
        self.without_better = 0 if score[0] > self._best[0] else self.without_better + 1
        if score >= self._best:
            self._best, self.best_step = score, step

    def _tell_others(self) -> None:
        """What ends a run or chooses its adapter must be the same in every process."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            told = [self.best_step, self.without_better]
            torch.distributed.broadcast_object_list(told, src=0)
            self.best_step, self.without_better = told[0], told[1] or 0


def interleaved(questions: Sequence[ProbeQuestion]) -> list[ProbeQuestion]:
    """Questions in an order of which every beginning holds each set alike."""
    place: Counter[str] = Counter()
    numbered = []
    for question in questions:
        numbered.append((place[question.question_set], question))
        place[question.question_set] += 1
    return [question for _, question in sorted(numbered, key=lambda pair: pair[0])]


def records_of(answered: Sequence[Answered], *, step: int, epoch: float, seconds: float) -> list[ProbeRecord]:
    """One record a question set; sets are answered together, so each takes its part of the seconds."""
    records = []
    for question_set in dict.fromkeys(question.question_set for question, _ in answered):
        of_set = [(question, answer) for question, answer in answered if question.question_set == question_set]
        verdicts = Counter(answer.verdict for _, answer in of_set)
        asked, right = Counter[str](), Counter[str]()
        for question, answer in of_set:
            asked.update(question.tags)
            right.update(question.tags if answer.verdict == "right" else ())
        records.append(
            ProbeRecord(
                step=step,
                epoch=epoch,
                question_set=question_set,
                asked=len(of_set),
                right=verdicts["right"],
                partly=verdicts["partly"],
                seconds=round(seconds * len(of_set) / len(answered), 3),
                by_tag={tag: (right[tag], asked[tag]) for tag in asked},
                answers=tuple(answer for _, answer in of_set),
            )
        )
    return records
