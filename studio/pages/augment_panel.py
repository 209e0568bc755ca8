"""Multiplying a dataset's facts: plan, generator, preview, progress; it must not know how examples are made."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import JsonValue, ValidationError

from studio.augmentation.keys import KEYS, bound_keys
from studio.augmentation.plan import Plan
from studio.errors import AugmentError
from studio.house import Studio
from studio.i18n import text
from studio.pages.augment_view import plan_sum, preview, progress
from studio.pages.language import label, locale, shows_errors
from studio.pages.markup import notice, whole_number
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment

TICK_S = 1.0
Values = dict[Any, Any]


@dataclass(frozen=True)
class PlanForm:
    """What is asked for, and of whom."""

    forward: gr.Textbox
    reverse: gr.Textbox
    answers: gr.Radio
    generator: gr.Radio
    base_url: gr.Textbox
    model: gr.Textbox

    def numbers(self) -> list[Any]:
        """The three numbers of a Plan."""
        return [self.forward, self.reverse, self.answers]

    def parts(self) -> set[Any]:
        """Everything, for a handler that takes its inputs as a dictionary."""
        return {*self.numbers(), self.generator, self.base_url, self.model}

    def plan(self, values: Values) -> Plan:
        """The plan that was typed."""
        return read_plan(*(values[number] for number in self.numbers()))

    def options(self, values: Values) -> dict[str, JsonValue] | None:
        """Where to ask, if it is an endpoint."""
        if values[self.generator] == "rules":
            return None
        return {"base_url": values[self.base_url].strip(), "model": values[self.model].strip()}


@dataclass(frozen=True)
class JobView:
    """The result below the form."""

    preview: gr.HTML
    progress: gr.HTML
    cancel: gr.Button
    timer: gr.Timer
    job_id: gr.State


def build_augment_panel(studio: Studio, shell: Shell) -> None:
    """The plan on the left; preview and progress on the right."""
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=2, min_width=320, elem_classes="oboe-panel"):
            total = drawn("plan-sum")
            form, key_state, endpoint = _build_form()
            with gr.Row():
                try_out = gr.Button(label("augment_page.preview"), elem_id="augment-preview")
                start = gr.Button(label("augment_page.start"), variant="primary", elem_id="augment-start")
        with gr.Column(scale=5, min_width=320):
            view = JobView(
                progress=drawn("augment-progress", classes="oboe-stack"),
                cancel=gr.Button(label("augment_page.cancel"), visible=False, size="sm", elem_id="augment-cancel"),
                preview=drawn("augment-examples", classes="oboe-stack"),
                timer=gr.Timer(TICK_S, active=False),
                job_id=gr.State(""),
            )
    handlers = _Augment(studio, shell, form)
    planned = {shell.dataset, *form.numbers()}
    gr.on([shell.changed.change, *(n.change for n in form.numbers())], handlers.on_plan, planned, total, **QUIET)
    form.generator.change(handlers.on_generator, form.generator, [endpoint, key_state], **QUIET)
    try_out.click(handlers.on_preview, {shell.dataset, *form.parts()}, view.preview, **PRIVATE)
    _wire_job(handlers, shell, form, start, view)


def _build_form() -> tuple[PlanForm, gr.HTML, gr.Column]:
    with gr.Row():
        forward = gr.Textbox("8", label=label("augment_page.forward"), elem_id="plan-forward", min_width=80)
        reverse = gr.Textbox("8", label=label("augment_page.reverse"), elem_id="plan-reverse", min_width=80)
    answers = gr.Radio(
        [(label("augment_page.answers_short"), 1), (label("augment_page.answers_both"), 2)],
        value=2,
        label=label("augment_page.answers"),
        elem_id="plan-answers",
    )
    generator = gr.Radio(
        [(label("augment_page.generator_rules"), "rules"), (label("augment_page.generator_endpoint"), "endpoint")],
        value="rules",
        label=label("augment_page.generator"),
        elem_id="augment-generator",
    )
    with gr.Column(visible=False, elem_id="endpoint-fields") as endpoint:
        base_url = gr.Textbox(
            label=label("augment_page.base_url"), placeholder="http://127.0.0.1:8000/v1", elem_id="endpoint-address"
        )
        model = gr.Textbox(label=label("augment_page.model"), placeholder="gpt-oss-20b", elem_id="endpoint-model")
    key_state = drawn("endpoint-key")
    return PlanForm(forward, reverse, answers, generator, base_url, model), key_state, endpoint


def _wire_job(handlers: "_Augment", shell: Shell, form: PlanForm, start: gr.Button, view: JobView) -> None:
    shown = [view.progress, view.cancel, view.timer]
    start.click(handlers.on_start, {shell.dataset, *form.parts()}, [view.job_id, view.preview, *shown], **PRIVATE)
    shell.changed.change(handlers.on_find, shell.dataset, [view.job_id, *shown], **QUIET)
    view.timer.tick(handlers.on_tick, view.job_id, [*shown, shell.changed], **QUIET)
    view.cancel.click(handlers.on_cancel, view.job_id, shown, **PRIVATE)


class _Augment:
    """The handlers: read the form, ask the augmentation once, say what is there."""

    def __init__(self, studio: Studio, shell: Shell, form: PlanForm) -> None:
        self.studio = studio
        self.jobs = studio.jobs
        self.dataset = shell.dataset
        self.form = form

    @shows_errors
    def on_plan(self, values: Values, request: gr.Request) -> str:
        dataset = values[self.dataset]
        facts = self.studio.datasets.counts(dataset).facts if dataset else 0
        try:
            return plan_sum(self.form.plan(values), facts, locale(request))
        except AugmentError as error:  # beside the field, not as a toast: the person is still typing
            return notice(error.text(locale(request)), "warning")

    def on_generator(self, generator: str, request: gr.Request) -> tuple[Any, str]:
        if generator == "rules":
            return gr.Column(visible=False), ""
        if found := bound_keys():
            sentences = [
                text("augment_page.key_found", locale(request), name=name, address=address)
                if address
                else text("augment_page.key_unbound", locale(request), name=name)
                for name, address in found.items()
            ]
            return gr.Column(visible=True), notice(" ".join(sentences), "info")
        sentence = text("augment_page.key_missing", locale(request), names=" / ".join(KEYS))
        return gr.Column(visible=True), notice(
            sentence, "info", text("augment_page.key_missing_remedy", locale(request))
        )

    @shows_errors
    def on_preview(self, values: Values, request: gr.Request) -> str:
        plan, options = self.form.plan(values), self.form.options(values)
        job = self.jobs.plan_job(
            _named(values[self.dataset]), generator=values[self.form.generator], plan=plan, options=options
        )
        return preview(self.jobs.preview(job), locale(request))

    @shows_errors
    def on_start(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        dataset, generator = _named(values[self.dataset]), values[self.form.generator]
        plan, options = self.form.plan(values), self.form.options(values)
        job_id = self.jobs.start(dataset, generator=generator, plan=plan, options=options)
        progress, cancel, _ = self._shown(job_id, request)
        # The first tick looks again, however soon the job ends: it is what tells the other views.
        return job_id, "", progress, cancel, gr.Timer(active=True)

    @shows_errors
    def on_find(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        """The newest job of a dataset, so that a reload or a second browser finds it."""
        for job_id in self.jobs.ids():
            if self.jobs.status(job_id).dataset == dataset:
                return job_id, *self._shown(job_id, request)
        return "", "", gr.Button(visible=False), gr.Timer(active=False)

    @shows_errors
    def on_tick(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        if not job_id:
            return "", gr.Button(visible=False), gr.Timer(active=False), gr.skip()
        shown = self._shown(job_id, request)
        running = self.jobs.status(job_id).state == "running"
        return *shown, gr.skip() if running else moment()

    @shows_errors
    def on_cancel(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        self.jobs.cancel(job_id)
        return self._shown(job_id, request)

    def _shown(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        status = self.jobs.status(job_id)
        running = status.state == "running"
        return progress(status, locale(request)), gr.Button(visible=running), gr.Timer(active=running)


def read_plan(forward: object, reverse: object, answers: object) -> Plan:
    """The plan that was typed, in half or full width. Raises AugmentError naming the field and its bounds."""
    typed = {"forward": whole_number(forward), "reverse": whole_number(reverse), "answers": whole_number(answers)}
    try:
        return Plan.model_validate(typed)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        value = {"forward": forward, "reverse": reverse, "answers": answers}[field]
        raise AugmentError(f"augment_page.error_{field}", value=value) from None


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise AugmentError("dataset_page.no_dataset")
    return dataset
