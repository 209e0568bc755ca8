"""What this machine offers and lacks, and the base models on it; it must not know how either is found out."""

from typing import Any

import gradio as gr

from studio.environment import Check, checks
from studio.house import Studio
from studio.i18n import text
from studio.models import CachedModel, cached
from studio.pages.language import label, locale, shows_errors
from studio.pages.markup import bar, element, empty, notice, size_text, words
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell
from training.errands import DownloadStatus

TICK_S = 1.0
WORST_FIRST = ("failed", "warning", "ok")
MOVING = ("starting", "downloading")


def build_settings_tab(studio: Studio, shell: Shell, tab: gr.Tab) -> None:
    """The checks on the left, the models on the right; both are looked up when the tab is opened."""
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=1, min_width=320, elem_classes="oboe-panel"):
            environment = drawn("environment", classes="oboe-stack")
            again = gr.Button(label("settings_page.check_again"), size="sm", elem_id="check-again")
        with gr.Column(scale=1, min_width=320, elem_classes="oboe-panel"):
            models = drawn("models", classes="oboe-stack")
            repo = gr.Textbox(
                label=label("settings_page.repo"),
                info=label("settings_page.repo_help"),
                placeholder="llm-jp/llm-jp-3-7.2b-instruct3",
                elem_id="download-repo",
            )
            with gr.Row():
                download = gr.Button(label("settings_page.download"), variant="primary", elem_id="download-start")
                cancel = gr.Button(label("settings_page.cancel"), visible=False, elem_id="download-cancel")
            progress = drawn("download-progress", classes="oboe-stack")
    watched = gr.State("")  # id of the download that this page shows
    timer = gr.Timer(TICK_S, active=False)
    handlers = _Settings(studio)
    view = [progress, models, cancel, timer]
    tab.select(handlers.on_looking, None, environment, **QUIET).then(handlers.on_check, None, environment, **QUIET)
    tab.select(handlers.on_open, None, [watched, *view], **QUIET)
    again.click(handlers.on_looking, None, environment, **QUIET).then(handlers.on_check, None, environment, **QUIET)
    download.click(handlers.on_download, repo, [watched, *view], **PRIVATE)
    cancel.click(handlers.on_cancel, watched, view, **PRIVATE)
    timer.tick(handlers.on_tick, watched, view, **QUIET)


class _Settings:
    """The handlers: ask once, say what is there."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.downloads = studio.downloads

    def on_looking(self, request: gr.Request) -> str:
        language = locale(request)
        return _heading("environment", language) + notice(text("settings_page.looking", language))

    @shows_errors
    def on_check(self, request: gr.Request) -> str:
        return environment_list(checks(self.studio.data_dir), locale(request))

    @shows_errors
    def on_open(self, request: gr.Request) -> tuple[Any, ...]:
        newest = next(iter(self.downloads.ids()), "")
        return newest, *self._view(newest, request)

    @shows_errors
    def on_download(self, repo: str, request: gr.Request) -> tuple[Any, ...]:
        started = self.downloads.start(repo)
        return started, *self._view(started, request)

    @shows_errors
    def on_cancel(self, watched: str, request: gr.Request) -> tuple[Any, ...]:
        self.downloads.cancel(watched)
        return self._view(watched, request)

    @shows_errors
    def on_tick(self, watched: str, request: gr.Request) -> tuple[Any, ...]:
        return self._view(watched, request)

    def _view(self, watched: str, request: gr.Request) -> tuple[Any, ...]:
        language = locale(request)
        listed = models_list(cached(), language)
        if not watched:
            return "", listed, gr.Button(visible=False), gr.Timer(active=False)
        status = self.downloads.status(watched, language)
        moving = status.state in MOVING
        return download_line(status, language), listed, gr.Button(visible=moving), gr.Timer(active=moving)


def environment_list(found: list[Check], language: str) -> str:
    """Every check with its remedy, the worst first."""
    ordered = sorted(found, key=lambda check: WORST_FIRST.index(check.state))
    lines = [notice(check.text(language), check.state, check.remedy_text(language)) for check in ordered]
    return _heading("environment", language) + element("div", "".join(lines), "oboe-notices")


def models_list(models: list[CachedModel], language: str) -> str:
    """The models in the Hub's cache with their size."""
    if not models:
        return _heading("models", language) + empty(text("settings_page.no_models", language))
    rows = [element("tr", words(m.repo, name="td") + words(size_text(m.bytes), "number", "td")) for m in models]
    table = element("table", element("tbody", "".join(rows)), "oboe-table")
    return _heading("models", language) + element("div", table, "oboe-table-frame")


def download_line(status: DownloadStatus, language: str) -> str:
    """Where a download stands: bytes done of bytes in all, or how it ended."""
    known = status.total_bytes > 0
    done = f"{size_text(status.done_bytes)} / {size_text(status.total_bytes) if known else '–'}"
    sentence = text(f"settings_page.download_{status.state}", language, repo=status.repo, done=done)
    if status.state in MOVING:
        return words(sentence, "oboe-sentence") + bar(status.done_bytes / status.total_bytes if known else None)
    return notice(sentence, "ok" if status.state == "finished" else "warning", status.reason)


def _heading(name: str, language: str) -> str:
    return words(text(f"settings_page.{name}", language), name="h3")
