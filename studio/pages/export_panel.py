"""The choice of a format and the button that exports what the list shows; it must not know how a format looks."""

from typing import Any

import gradio as gr

from studio.datasets import EVERYTHING, FORMATS, Export, Filter
from studio.errors import DatasetError
from studio.house import Studio
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.parts import PRIVATE
from studio.pages.shell import Shell

# After a format: the data in a zip, with the card that a dataset hub shows.
CARD = "+card"
CARD_FORMAT = "parquet"
# The export lands in a button that is not shown; its file is fetched here, whether the page has drawn it yet or not.
DOWNLOAD_JS = """(file) => {
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name ?? '';
  link.click();
}"""


def build_export(studio: Studio, shell: Shell, search: gr.Textbox, asked: gr.State) -> None:
    """Two components in the row that is being built; what the list shows by `search` and `asked` is exported."""
    choices = [(label(f"files_page.format_{format}"), format) for format in FORMATS]
    choices.append((label("files_page.export_card"), CARD_FORMAT + CARD))
    format = gr.Dropdown(
        choices, value="jsonl", show_label=False, container=False, elem_id="export-format", min_width=140
    )
    button = gr.Button(label("files_page.export"), size="sm", elem_id="export", min_width=90)
    download = gr.DownloadButton(visible="hidden", elem_id="export-download")

    @shows_errors
    def on_export(
        dataset: str | None, format: str, search: str, asked: dict[str, Any], request: gr.Request
    ) -> gr.DownloadButton:
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        plain = format.removesuffix(CARD)
        filter = Filter.model_validate({**asked, "search": search or "", "sort": "fact"})
        wanted = Export(plain, filter, card=locale(request) if plain != format else "")
        path = studio.datasets.export_file(dataset, wanted, studio.exports)
        number = f"{studio.datasets.count(dataset, filter):,}"
        key = "files_page.exported" if filter == EVERYTHING else "files_page.exported_filtered"
        tell(key, request, file=path.name, number=number)
        return gr.DownloadButton(value=str(path))

    exported = button.click(on_export, [shell.dataset, format, search, asked], download, **PRIVATE)
    exported.success(None, download, None, js=DOWNLOAD_JS, **PRIVATE)
