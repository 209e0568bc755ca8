"""What a preset says of itself: its note, how it departs from the lab's report, and what the report leaves open.

It must not know how a form is wired.
"""

from typing import Any

from studio.i18n import text
from studio.pages.markup import element, words
from studio.pages.run_form import field_id, told_value
from studio.runs.presets import Preset


def preset_note(preset: Preset, locale: str) -> str:
    """The note; below it what the report does not state, or what differs from it and why, folded."""
    return words(preset.note[locale], "oboe-muted", "p") + _unstated(preset, locale) + _departures(preset, locale)


def _unstated(preset: Preset, locale: str) -> str:
    """The fields of a report's preset that hold a default, named here and marked in the form."""
    if not preset.unstated:
        return ""
    labels = ", ".join(f"#{field_id(name)} [data-testid=block-info]::after" for name in preset.unstated)
    mark = text("presets.unstated", locale)
    style = f'{labels} {{ content: "{mark}"; margin-left: .5em; font-size: .75em; color: var(--oboe-muted); }}'
    fields = text("presets.list_comma", locale).join(text(f"runs.field_{name}", locale) for name in preset.unstated)
    return element("style", style) + words(text("presets.unstated_fields", locale, fields=fields), "oboe-muted", "p")


def _departures(preset: Preset, locale: str) -> str:
    departures = preset.departures()
    if not departures:
        return ""
    title = words(text("presets.departures", locale, number=len(departures)), name="summary")
    items = "".join(
        element("li", words(_change(name, *values, locale)) + words(text(f"presets.why_{name}", locale), "oboe-muted"))
        for name, values in departures.items()
    )
    return element("details", title + element("ul", items, "oboe-list"), "oboe-departures")


def _change(name: str, start: Any, value: Any, locale: str) -> str:
    shown = {"start": told_value(start, locale), "value": told_value(value, locale)}
    return text("presets.departure", locale, label=text(f"runs.field_{name}", locale), **shown)
