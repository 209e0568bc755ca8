"""Growing a dataset: plan, generator, cost, preview and the job; it must not know how examples are made."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.augmentation.keys import KEYS, bound_keys
from studio.augmentation.status import NEW_FACTS, RESUMABLE, AugmentStatus, JobPlan
from studio.datasets.filters import Filter
from studio.errors import AugmentError, StudioError
from studio.house import Studio
from studio.i18n import text
from studio.pages.augment_form import FormParts, Values, build_form, default_aspects, preset_values
from studio.pages.augment_view import estimate, plan_sum, preview, progress, shared
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty, notice
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment

TICK_S = 1.0


@dataclass(frozen=True)
class JobView:
    """The job beside the form, and what may be done with it."""

    preview: gr.HTML
    progress: gr.HTML
    pause: gr.Button
    resume: gr.Button
    again: gr.Button
    held: gr.Button
    cancel: gr.Button
    timer: gr.Timer
    job_id: gr.State

    def shown(self) -> list[Any]:
        """What follows a job's status."""
        return [self.progress, self.pause, self.resume, self.again, self.held, self.cancel, self.timer]


def build_augment_panel(studio: Studio, shell: Shell) -> None:
    """The plan on the left; preview and progress on the right."""
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=2, min_width=320, elem_classes="oboe-panel"):
            total = drawn("plan-sum")
            parts = build_form()
            told = drawn("augment-estimate", classes="oboe-stack")
            with gr.Row():
                try_out = gr.Button(label("augment_page.preview"), elem_id="augment-preview")
                start = gr.Button(label("augment_page.start"), variant="primary", elem_id="augment-start")
        with gr.Column(scale=5, min_width=320):
            view = _build_view()
    handlers, form = _Augment(studio, shell, parts), parts.form
    everything = {shell.dataset, shell.person, *form.parts()}
    typed = [shell.changed.change, form.source.change, *(number.change for number in form.numbers())]
    gr.on(typed, handlers.on_plan, {shell.dataset, form.source, form.shared_reverse, *form.numbers()}, total, **QUIET)
    coming = [parts.of_facts, parts.of_documents, parts.of_titles, form.generator, parts.endpoint, parts.key_state]
    chosen = [form.source.change, form.generator.input]
    gr.on(chosen, handlers.on_choice, {form.source, form.generator, form.aspects}, [*coming, form.aspects], **QUIET)
    form.preset.input(preset_values, form.preset, form.preset_fields(), **QUIET).then(
        handlers.on_estimate, everything, told, **QUIET
    )
    gr.on(form.settled(), handlers.on_estimate, everything, told, trigger_mode="always_last", **QUIET)
    try_out.click(handlers.on_preview, everything, view.preview, **PRIVATE).then(
        handlers.on_estimate, everything, told, **QUIET
    )
    start.click(handlers.on_start, everything, [view.job_id, view.preview, *view.shown()], **PRIVATE)
    # A wish for this section may say what to make.
    shell.section.change(lambda wish: wish[2] if len(wish) > 2 else gr.skip(), shell.section, form.source, **QUIET)
    _wire_job(handlers, shell, parts, view)


def _build_view() -> JobView:
    shown = drawn("augment-progress", classes="oboe-stack")
    with gr.Row(elem_id="augment-actions"):
        pause, resume, again, held, cancel = (
            gr.Button(label(f"augment_page.{name}"), visible=False, size="sm", elem_id=f"augment-{name}")
            for name in ("pause", "resume", "again", "held", "cancel")
        )
    return JobView(
        preview=drawn("augment-examples", classes="oboe-stack"),
        progress=shown,
        pause=pause,
        resume=resume,
        again=again,
        held=held,
        cancel=cancel,
        timer=gr.Timer(TICK_S, active=False),
        job_id=gr.State(""),
    )


def _wire_job(handlers: "_Augment", shell: Shell, parts: FormParts, view: JobView) -> None:
    shown = view.shown()
    shell.changed.change(handlers.on_find, shell.dataset, [view.job_id, *shown], **QUIET)
    view.timer.tick(handlers.on_tick, view.job_id, [*shown, shell.changed], **QUIET)
    view.pause.click(handlers.on_pause, view.job_id, shown, **PRIVATE)
    view.resume.click(handlers.on_resume, [view.job_id, parts.form.budget], shown, **PRIVATE)
    view.again.click(handlers.on_again, view.job_id, [view.job_id, *shown], **PRIVATE)
    # The list opens on what waits for a person.
    view.held.click(lambda: (Filter(status="pending").model_dump(), moment()), None, shell.filter, **QUIET)
    view.cancel.click(handlers.on_cancel, view.job_id, shown, **PRIVATE)


class _Augment:
    """The handlers: read the form, ask the augmentation once, say what is there."""

    def __init__(self, studio: Studio, shell: Shell, parts: FormParts) -> None:
        self.studio = studio
        self.jobs = studio.jobs
        self.dataset = shell.dataset
        self.person = shell.person
        self.form = parts.form

    @shows_errors
    def on_plan(self, values: Values, request: gr.Request) -> str:
        dataset, source = values[self.dataset], values[self.form.source]
        if source in NEW_FACTS:
            return notice(text("augment_page.new_facts_pending", locale(request)))
        if source == "fields":
            unsaid = self.studio.proposed.overview(dataset).unsaid if dataset else 0
            return notice(text("augment_page.fields_explained", locale(request), number=f"{unsaid:,}"))
        facts = self.studio.datasets.counts(dataset).facts if dataset else 0
        try:
            return plan_sum(self.form.plan(values), facts, locale(request))
        except AugmentError as error:  # beside the field, not as a toast: the person is still typing
            return notice(error.text(locale(request)), "warning")

    def on_choice(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """Only the fields of what is chosen are there."""
        source, aspects = values[self.form.source], values[self.form.aspects]
        asks = source != "facts" or values[self.form.generator] == "endpoint"
        return (
            *(gr.Column(visible=source == of) for of in ("facts", "documents", "titles")),
            gr.Radio(visible=source == "facts"),
            gr.Column(visible=asks),
            _key_state(locale(request)) if asks else "",
            aspects or default_aspects(locale(request)),
        )

    def on_estimate(self, values: Values, request: gr.Request) -> str:
        """What the job would cost; nothing as long as the form is not filled in."""
        form = self.form
        if not values[self.dataset] or form.by_rules(values):
            return ""
        if not values[form.base_url].strip() or not values[form.model].strip():
            return notice(text("augment_page.choose_endpoint", locale(request)))
        try:
            return estimate(self.jobs.estimate(self._job(values)), locale(request))
        except StudioError as error:  # beside the fields
            return notice(error.text(locale(request)), "warning")

    @shows_errors
    def on_preview(self, values: Values, request: gr.Request) -> str:
        job = self._job(values)
        return shared(self.jobs.shared(job), job.plan, locale(request)) + preview(
            self.jobs.preview(job), locale(request)
        )

    @shows_errors
    def on_start(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        job_id = self.jobs.start_job(self._job(values))
        # The first tick looks again, however soon the job ends: it is what tells the other views.
        return job_id, "", *self._shown(job_id, request)[:-1], gr.Timer(active=True)

    @shows_errors
    def on_find(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        """The newest job of a dataset, so that a reload or a second browser finds it."""
        for job_id in self.jobs.ids():
            if self.jobs.status(job_id).dataset == dataset:
                return job_id, *self._shown(job_id, request)
        return "", *_nothing(text("augment_page.nothing_yet", locale(request)))

    @shows_errors
    def on_tick(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        if not job_id:
            return *_nothing(""), gr.skip()
        shown = self._shown(job_id, request)
        running = self.jobs.status(job_id).state == "running"
        return *shown, gr.skip() if running else moment()

    @shows_errors
    def on_pause(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        self.jobs.pause(job_id)
        tell("augment_page.pausing", request)
        return self._shown(job_id, request)

    @shows_errors
    def on_resume(self, job_id: str, budget: str, request: gr.Request) -> tuple[Any, ...]:
        self.jobs.resume(job_id, budget=self.form.money({self.form.budget: budget}))
        return *self._shown(job_id, request)[:-1], gr.Timer(active=True)

    @shows_errors
    def on_again(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        again = self.jobs.run_failed_again(job_id)
        return again, *self._shown(again, request)[:-1], gr.Timer(active=True)

    @shows_errors
    def on_cancel(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        self.jobs.cancel(job_id)
        return self._shown(job_id, request)

    def _job(self, values: Values) -> JobPlan:
        """The job that the form describes."""
        form = self.form
        planned = self.jobs.plan_job(
            _named(values[self.dataset]),
            generator="rules" if form.by_rules(values) else "endpoint",
            plan=form.plan(values),
            options=form.options(values),
        )
        return form.job(values, planned, (values[self.person] or "").strip())

    def _shown(self, job_id: str, request: gr.Request) -> tuple[Any, ...]:
        status = self.jobs.status(job_id)
        running = status.state == "running"
        return (
            progress(status, locale(request)),
            gr.Button(visible=running),
            gr.Button(visible=status.state in RESUMABLE),
            gr.Button(visible=_can_run_again(status)),
            gr.Button(visible=not running and bool(status.added and (status.flagged or status.source in NEW_FACTS))),
            gr.Button(visible=running),
            gr.Timer(active=running),
        )


def _nothing(sentence: str) -> tuple[Any, ...]:
    return (
        empty(sentence) if sentence else gr.skip(),
        *(gr.Button(visible=False) for _ in range(5)),
        gr.Timer(active=False),
    )


def _can_run_again(status: AugmentStatus) -> bool:
    return status.generator == "endpoint" and status.state == "finished" and status.failed_facts > 0


def _key_state(language: str) -> str:
    """Which keys the environment holds, and where each may go."""
    if found := bound_keys():
        sentences = [
            text("augment_page.key_found", language, name=name, address=address)
            if address
            else text("augment_page.key_unbound", language, name=name)
            for name, address in found.items()
        ]
        return notice(" ".join(sentences), "info")
    sentence = text("augment_page.key_missing", language, names=" / ".join(KEYS))
    return notice(sentence, "info", text("augment_page.key_missing_remedy", language))


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise AugmentError("dataset_page.no_dataset")
    return dataset
