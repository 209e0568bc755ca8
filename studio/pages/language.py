"""The reader's language: labels that the browser translates, sentences and toasts that the server does.

Knows gr.I18n and gr.Request, not what any page is about.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gradio as gr
from gradio.i18n import I18nData

from studio.errors import StudioError
from studio.i18n import FALLBACK, LOCALES, locale_of, sentences, text
from studio.runs.presets import presets

Handler = TypeVar("Handler", bound=Callable[..., Any])
TOAST_S = 8


def label(key: str) -> I18nData:
    """A text that the browser shows in its own language."""
    return I18nData(key)


def translations() -> gr.I18n:
    """The labels of the pages in every language; sentences made on the server stay there."""
    labels = {
        language: {key: value for key, value in sentences(language).items() if _is_label(key)} for language in LOCALES
    }
    for preset in presets().values():
        for language in LOCALES:
            labels[language][f"preset.{preset.name}"] = preset.title[language]
    return gr.I18n(**labels)


def locale(request: gr.Request | None) -> str:
    """The language of the browser that asks, as the browser's own labels choose it."""
    headers = getattr(request, "headers", None)
    return locale_of(headers.get("accept-language", "") if headers else "") if request else FALLBACK


def say(key: str, request: gr.Request | None, **values: object) -> str:
    """The sentence of `key` in the language of the browser that asks."""
    return text(key, locale(request), **values)


def tell(key: str, request: gr.Request | None, **values: object) -> None:
    """Show a sentence that passes by itself."""
    show(say(key, request, **values), request)


def show(sentence: str, request: gr.Request | None) -> None:
    """Show a sentence that is already in the reader's language."""
    gr.Info(_escaped(sentence), title=say("common.notice", request), duration=TOAST_S)


def shows_errors(handler: Handler) -> Handler:
    """Turn a StudioError of a handler into a toast in the reader's language, without a traceback.

    The handler takes `request: gr.Request`, which tells the language.
    """
    if "request" not in inspect.signature(handler).parameters:
        raise TypeError(f"{handler.__qualname__} needs a parameter `request: gr.Request` to know the language.")
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from handler(*args, **kwargs)
            except StudioError as error:
                raise _toast(error, args, kwargs) from error

        return stream  # type: ignore[return-value]

    @functools.wraps(handler)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except StudioError as error:
            raise _toast(error, args, kwargs) from error

    return plain  # type: ignore[return-value]


def _toast(error: StudioError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> gr.Error:
    request = next((value for value in (*args, *kwargs.values()) if isinstance(value, gr.Request)), None)
    sentence = _escaped(error.text(locale(request)))
    return gr.Error(sentence, duration=None, title=say("common.problem", request), print_exception=False)


def _escaped(sentence: str) -> str:
    """A toast renders HTML, and sentences quote what files and people wrote."""
    return sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_label(key: str) -> bool:
    return key.partition(".")[0].endswith("_page") or key.startswith(("common.", "runs.field_"))
