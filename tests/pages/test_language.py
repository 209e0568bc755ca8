"""Handlers answer in the reader's language, and their errors become sentences."""

from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from studio.errors import DatasetError
from studio.pages.language import locale, shows_errors, translations


def asking(language: str) -> gr.Request:
    request = gr.Request()
    request.request = cast(Any, SimpleNamespace(headers={"accept-language": language}))
    return request


@shows_errors
def fails(request: gr.Request) -> None:
    raise DatasetError("dataset.error_unknown_dataset", name="<b>")


@shows_errors
def fails_later(request: gr.Request) -> Any:
    yield 1
    raise DatasetError("dataset.error_unknown_dataset", name="<b>")


def test_the_browser_names_the_language() -> None:
    assert (locale(asking("ja-JP,ja;q=0.9")), locale(asking("de-DE")), locale(None)) == ("ja", "en", "en")


@pytest.mark.parametrize("handler", [fails, lambda request: list(fails_later(request))])
def test_an_error_is_a_sentence_in_the_readers_language_without_markup(handler: Any) -> None:
    with pytest.raises(gr.Error, match="データセット「&lt;b&gt;」はありません") as caught:
        handler(asking("ja"))
    assert caught.value.print_exception is False


def test_a_handler_that_cannot_know_the_language_is_refused() -> None:
    with pytest.raises(TypeError, match="request"):
        shows_errors(lambda value: value)


def test_the_browser_gets_labels_but_not_the_servers_sentences() -> None:
    keys = translations().translations_dict["ja"].keys()
    assert {"dataset_page.search", "runs.field_lora_r", "preset.demo", "common.dataset"} <= keys
    assert "worker.error_unexpected" not in keys
