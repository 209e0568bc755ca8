"""The line that fetches a Hub dataset by its id to be imported like a file; it must not know what is in it."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.errors import DatasetError
from studio.house import Studio
from studio.pages.language import label, locale, say
from studio.pages.markup import notice, words
from studio.pages.parts import PRIVATE, QUIET, drawn
from training.errands import DatasetRequest

# Once the files are imported, what was said of one that came is of the past.
TAKEN_JS = "(files, said) => files?.length ? said : ''"


def build_hub_import(studio: Studio, files: gr.File, name: gr.Textbox) -> None:
    """The line; what has come is added to `files`."""
    with gr.Row(elem_id="hub-import", elem_classes="oboe-toolbar"):
        repo = gr.Textbox(
            label=label("files_page.hub_id"),
            placeholder="organisation/dataset",
            elem_id="hub-id",
            min_width=220,
            scale=3,
        )
        parts = [
            gr.Textbox(
                label=label(f"files_page.hub_{part}"),
                placeholder=label("files_page.found_by_itself"),
                elem_id=f"hub-{part}",
                min_width=130,
            )
            for part in ("config", "split")
        ]
        start = gr.Button(label("files_page.hub_fetch"), elem_id="hub-fetch", min_width=90, scale=0)
        stop = gr.Button(label("files_page.hub_stop"), visible=False, elem_id="hub-stop", min_width=90, scale=0)
    progress = drawn("hub-progress")
    handlers, asked = _HubImport(studio), [repo, *parts]
    start.click(handlers.on_fetch, [*asked, files, name], [files, name, progress, stop], **QUIET)
    stop.click(handlers.on_stop, asked, **PRIVATE)
    files.change(None, [files, progress], progress, js=TAKEN_JS)


class _HubImport:
    def __init__(self, studio: Studio) -> None:
        self.hub = studio.hub_datasets
        self.exports = studio.exports

    def on_fetch(  # noqa: PLR0913 - the fields of a form
        self, repo: str, config: str, split: str, files: list[str] | None, name: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Follows the fetch; it goes on where the page is closed, and the same id finds it again."""
        wanted = _wanted(repo, config, split)
        try:
            for status in self.hub.fetch(wanted):
                said = say("files_page.hub_reading", request, repo=wanted.repo, number=f"{status.rows:,}")
                yield gr.skip(), gr.skip(), words(said, "oboe-muted", "p"), gr.Button(visible=True)
            if status.state == "cancelled":
                yield gr.skip(), gr.skip(), notice(say("files_page.hub_stopped", request)), gr.Button(visible=False)
                return
            path = self.hub.take(wanted, self.exports)
        except DatasetError as error:
            yield gr.skip(), gr.skip(), notice(error.text(locale(request)), "failed"), gr.Button(visible=False)
            return
        key = "files_page.hub_done" if status.complete else "files_page.hub_done_in_part"
        said = notice(
            say(key, request, file=path.name, number=f"{status.rows:,}"), "ok" if status.complete else "warning"
        )
        yield [*(files or []), str(path)], name or wanted.repo.split("/")[1], said, gr.Button(visible=False)

    def on_stop(self, repo: str, config: str, split: str) -> None:
        self.hub.stop(_wanted(repo, config, split))


def _wanted(repo: str, config: str, split: str) -> DatasetRequest:
    return DatasetRequest(repo=repo.strip(), config=config.strip(), split=split.strip())
