"""The scriptable interface: named endpoints for notebooks, plain JSON in and out; it must not know the pages.

Errors carry the sentence that a page would show, in the language of the client's Accept-Language.
"""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio import FileData
from gradio.events import api as endpoint
from pydantic import ValidationError

from studio.arena import BASE, Side, checked
from studio.augmentation.plan import Plan
from studio.datasets import Export, Filter
from studio.errors import ArenaError, AugmentError, DatasetError
from studio.house import Studio
from studio.inference import Options
from studio.pages.language import locale, shows_errors
from studio.pages.preflight_json import preflight_json
from studio.runs import plans
from studio.runs.speed import expected_seconds, measured_speed
from studio.runs.stages import outlook
from training.contract import RunStatus

Json = dict[str, Any]
ENDPOINTS = (
    "import_file",
    "export_file",
    "augment",
    "augment_status",
    "check_dataset",
    "preflight",
    "start_run",
    "run_status",
    "stop_run",
    "ask",
)
ASK_OPTIONS = ("base_model", "max_new_tokens", "temperature", "seed", "reasoning_effort", "include_reasoning")


def add_endpoints(studio: Studio) -> None:
    """Add every endpoint to the page that is being built."""
    api = _Api(studio)
    for name in ENDPOINTS:
        endpoint(getattr(api, name), api_name=name, concurrency_limit=None)


class _Api:
    """One method an endpoint; their docstrings are what a client reads."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    @shows_errors
    def import_file(
        self, request: gr.Request, dataset: str, file: FileData, mapping: dict[str, str] | None = None
    ) -> Json:
        """Bring a file of questions and answers into a dataset, which is made where it is new."""
        report = self._studio.datasets.import_file(dataset, _uploaded(file), mapping)
        language = locale(request)
        return {
            "imported": report.imported,
            "rejected": [{"line": line.line, "reason": line.text(language)} for line in report.rejected],
            "facts": report.facts,
            "examples": report.examples,
        }

    @shows_errors
    def export_file(
        self, request: gr.Request, dataset: str, format: str = "jsonl", filter: dict[str, str] | None = None
    ) -> FileData:
        """The examples of a dataset that a filter lets through: jsonl, messages, alpaca, sharegpt, csv, parquet."""
        try:
            wanted = Export(format, Filter.model_validate(filter or {}))
        except ValidationError as error:
            problem = error.errors()[0]
            raise DatasetError(
                "files.error_filter", field=".".join(map(str, problem["loc"])), problem=problem["msg"]
            ) from None
        path = self._studio.datasets.export_file(dataset, wanted, self._studio.exports)
        return FileData(path=str(path), orig_name=path.name)

    @shows_errors
    def augment(  # noqa: PLR0913 - the parameters are the documented interface
        self,
        request: gr.Request,
        dataset: str,
        generator: str = "rules",
        forward: int = 8,
        reverse: int = 8,
        answers: int = 2,
        options: dict[str, Any] | None = None,
    ) -> Json:
        """Multiply every fact of a dataset: (forward + reverse) x answers examples a fact, the seed counted in."""
        plan = _plan(forward=forward, reverse=reverse, answers=answers)
        job_id = self._studio.jobs.start(dataset, generator=generator, plan=plan, options=options)  # type: ignore[arg-type]
        return {"job_id": job_id}

    @shows_errors
    def augment_status(self, request: gr.Request, job_id: str) -> Json:
        """Where an augmentation stands; done and total count facts."""
        status = self._studio.jobs.status(job_id)
        language = locale(request)
        failed = [{"question": fact.question, "reason": fact.reason.text(language)} for fact in status.failed]
        return {
            **status.model_dump(include={"state", "done", "total", "tokens", "added", "needs_model"}),
            "failed": failed,
        }

    @shows_errors
    def check_dataset(self, request: gr.Request, dataset: str) -> Json:
        """Run every quality check; coverage counts facts that lack phrasings, reversed questions or answers."""
        report = self._studio.checks.run(dataset)
        return {
            "facts": report.facts,
            "examples": report.examples,
            "coverage": {
                "forward": report.number("coverage_forward"),
                "reverse": report.number("coverage_reverse"),
                "answers": report.number("coverage_answers"),
            },
            "duplicates": report.number("duplicate", "near_duplicate"),
            "conflicts": report.number("conflict"),
            "leaks": report.number("leak"),
            "findings": {count.code: count.findings for count in report.counts},
        }

    @shows_errors
    def preflight(
        self, request: gr.Request, dataset: str, config: dict[str, Any] | list[dict[str, Any]] | None = None
    ) -> Json:
        """What a run would train: modules, what carries loss, lengths, memory, and what speaks against the start.

        Of a chain or a sweep the first run is checked so; `later` tells what data and settings show of other stages.
        """
        plan = self._plan_of(dataset, config)
        asked, beside = plan.configs[0], outlook(self._studio.runs, self._studio.preflights.source, plan)
        found = self._studio.preflights.check(asked)
        speed = measured_speed(self._studio.runs, asked.base_model)
        return preflight_json(found, expected_seconds(asked, found, speed), locale(request), beside)

    @shows_errors
    def start_run(
        self, request: gr.Request, dataset: str, config: dict[str, Any] | list[dict[str, Any]] | None = None
    ) -> Json:
        """Queue a run of a dataset, divided as it is: a preset and the fields that differ from it.

        A list of such objects is a chain, whose runs go on from one another; a list of numbers in one field is a sweep.
        """
        plan = self._plan_of(dataset, config)
        self._studio.preflights.refuse_targets(plan.configs)
        run_ids = self._studio.queue.submit(plan)
        return {"run_id": run_ids[0], "run_ids": run_ids}

    def _plan_of(self, dataset: str, config: dict[str, Any] | list[dict[str, Any]] | None) -> plans.Plan:
        splits = self._studio.versions.splits(dataset).model_dump(exclude_unset=True)
        return plans.planned({} if config is None else config, {**splits, "dataset": dataset})

    @shows_errors
    def run_status(self, request: gr.Request, run_id: str) -> Json:
        """Where a run stands."""
        return _run_json(self._studio.runs.status(run_id, locale(request)))

    @shows_errors
    def stop_run(self, request: gr.Request, run_id: str) -> Json:
        """Ask a run to stop and save its adapter, or take it out of the queue; returns at once."""
        return {"state": self._studio.queue.stop(run_id)}

    @shows_errors
    def ask(
        self,
        request: gr.Request,
        question: str,
        models: list[str] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Json:
        """Ask the base and any runs of it one question; reasoning comes only with include_reasoning."""
        given = dict(options or {})
        if unknown := sorted(set(given) - set(ASK_OPTIONS)):
            raise ArenaError("arena.error_option", option=", ".join(unknown), known=", ".join(ASK_OPTIONS))
        base_model = given.pop("base_model", None)
        asked = models or [BASE]
        scenes = self._studio.arena.ask(checked(question), asked, options=Options(**given), base_model=base_model)
        *_, last = scenes
        return {"replies": [_reply_json(side, include=bool(given.get("include_reasoning"))) for side in last.sides]}


def _uploaded(file: FileData | Json) -> Path:
    """The file that a client uploaded. Gradio has looked that it is one only where it says that it is a file."""
    described = file if isinstance(file, dict) else {}
    if described.get("meta", {}).get("_type") != "gradio.FileData" or not described.get("path"):
        raise DatasetError("dataset.error_not_uploaded")
    return Path(described["path"])


def _plan(**wanted: int) -> Plan:
    try:
        return Plan(**wanted)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise AugmentError("augment.error_plan", name=name, value=wanted[name], problem=first["msg"]) from None


def _run_json(status: RunStatus) -> Json:
    return status.model_dump(include={"state", "step", "total_steps", "train_loss", "eval_loss", "reason"})


def _reply_json(side: Side, *, include: bool) -> Json:
    if side.error is not None:
        raise side.error
    assert side.reply is not None  # nobody stops an endpoint's question
    reply = side.reply
    answer: Json = {
        "model": side.model,
        "answer": reply.answer,
        "reply_state": reply.reply_state,
        "tokens": reply.tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "seconds": round(reply.seconds, 3),
    }
    return answer | ({"reasoning": reply.reasoning} if include else {})
