"""Presets of the training form, and the way from what a person typed to a RunConfig.

Knows fields, bounds and their sentences; must not know how a form looks.
"""

import difflib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.errors import StudioError
from studio.i18n import text
from training.contract import PROJECT_ROOT, RunConfig

PRESETS = PROJECT_ROOT / "assets" / "presets"

_MINUS = str.maketrans("−‐‑–—ー", "------")  # what a Japanese keyboard or a PDF gives for a minus; NFKC leaves these
GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_LISTS = {name for name, field in RunConfig.model_fields.items() if get_origin(field.annotation) is tuple}
_BOUNDS = {"gt": "above", "ge": "at_least", "lt": "below", "le": "at_most"}


class Preset(BaseModel):
    """A named starting point: `config` holds the RunConfig fields that it sets; texts are per locale (ja, en).

    `then` names the preset of a second run that goes on from the first one's adapter, `departs_from` the preset with
    what the lab's report did, and `unstated` the fields of such a preset that the report says nothing about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: dict[str, str]
    note: dict[str, str]
    config: dict[str, Any]
    then: str = ""
    departs_from: str = ""
    unstated: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """Every field of a run as this preset has it: its own values over RunConfig's defaults."""
        fields = RunConfig.model_fields.items()
        return {name: self.config.get(name, "" if field.is_required() else field.default) for name, field in fields}

    def departures(self) -> dict[str, tuple[Any, Any]]:
        """Settings that it does not leave as the report has them: the report's value and this preset's.

        A trial on a smaller base says so in its note.
        """
        if not self.departs_from:
            return {}
        theirs, ours = presets()[self.departs_from].values(), self.values()
        return {
            name: (theirs[name], ours[name]) for name in ours if name != "base_model" and theirs[name] != ours[name]
        }


@dataclass(frozen=True)
class Problem:
    """One wrong field: `key` names the sentence, `values` fill it, `bounds` are told in the reader's language."""

    key: str
    setting: str
    values: Mapping[str, str] = field(default_factory=dict)
    bounds: tuple[tuple[str, str], ...] = ()

    def text(self, locale: str) -> str:
        """The sentence in `locale`."""
        label = text(f"runs.field_{self.setting}", locale) if self.setting in RunConfig.model_fields else self.setting
        parts = [text(f"runs.bound_{kind}", locale, bound=bound) for kind, bound in self.bounds]
        bounds = text("runs.bounds_joined", locale).join(parts)
        return text(self.key, locale, label=label, field=self.setting, bounds=bounds, **self.values)


class RunConfigError(StudioError):
    """Fields of a run that cannot be used, all of them at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].key)
        self.problems = tuple(problems)

    def text(self, locale: str = "en") -> str:
        """One sentence for each wrong field."""
        return text("runs.sentences_joined", locale).join(problem.text(locale) for problem in self.problems)

    def __str__(self) -> str:
        return self.text("en")


@lru_cache(maxsize=1)
def presets() -> dict[str, Preset]:
    """All presets by name, in the order that the form shows."""
    found = {}
    for path in sorted(PRESETS.glob("*.json"), key=lambda path: path.stem):
        written = json.loads(path.read_text("utf-8"))
        written["config"] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in written["config"].items()
        }
        found[path.stem] = Preset(name=path.stem, **written)
    return found


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """A run's configuration from its preset and what a person typed over it.

    Full-width digits and thousands separators are numbers; empty means the preset's value. RunConfigError lists every
    wrong field in one sentence each.
    """
    typed = {name: value for name, given in values.items() if (value := _clean(name, given)) is not None}
    preset = typed.get("preset", "custom")
    if preset != "custom" and preset not in presets():
        raise RunConfigError([Problem("runs.error_preset", "preset", {"value": str(preset), "known": _listed()})])
    start = presets()[preset].config if preset != "custom" else {}
    merged = {**start, **typed}
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise RunConfigError(_problems(error)) from None


def _listed() -> str:
    return ", ".join(presets())


def _clean(name: str, value: Any) -> Any:
    """What a person meant: None for an empty field, a number for one in full width, a tuple for a list of words."""
    if isinstance(value, str):
        value = value.strip()
        if name in RunConfig.model_fields and not _is_text(name):
            value = _plain_number(value)
        return _words(value) if name in _LISTS else value or None
    if isinstance(value, list | tuple):
        return tuple(value) or None
    return value


def _is_text(name: str) -> bool:
    return RunConfig.model_fields[name].annotation is str


def _plain_number(typed: str) -> str:
    plain = unicodedata.normalize("NFKC", typed).strip().translate(_MINUS)
    return plain.replace(",", "") if GROUPED.fullmatch(plain) else plain


def _words(typed: str) -> tuple[str, ...] | None:
    return tuple(re.split(r"[\s,、]+", typed)) if typed else None


def _problems(error: ValidationError) -> list[Problem]:
    found: dict[str, Problem] = {}
    for detail in error.errors():
        name = str(detail["loc"][0]) if detail["loc"] else "max_steps"
        found.setdefault(name, _problem(name, detail["type"], detail["input"]))
    return list(found.values())


def _problem(name: str, kind: str, value: Any) -> Problem:
    shown = {"value": _shown(value)}
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, RunConfig.model_fields, n=1)
        return Problem("runs.error_near_field" if near else "runs.error_field", name, {"near": near[0] if near else ""})
    if kind == "missing":
        return Problem("runs.error_missing", name)
    if kind == "value_error":
        return Problem("runs.error_max_steps", name)
    if kind in ("string_too_long", "string_too_short"):
        return Problem("runs.error_length", name, shown)
    if kind == "literal_error":
        annotation = RunConfig.model_fields[name].annotation
        choices = get_args(get_args(annotation)[0] if name in _LISTS else annotation)
        return Problem("runs.error_choice", name, {**shown, "choices": ", ".join(choices)})
    return _number_problem(name, kind, value)


def _number_problem(name: str, kind: str, value: Any) -> Problem:
    shown = {"value": _shown(value)}
    bounds = _bounds(name)
    whole = RunConfig.model_fields[name].annotation is int
    if kind.startswith(("greater", "less")) and bounds:
        return Problem("runs.error_bounds", name, shown, bounds)
    if kind == "int_from_float" or (kind == "int_parsing" and _is_number(value)):
        return Problem("runs.error_whole", name, shown, bounds)
    if kind.startswith(("int", "float", "finite")) or whole:
        return Problem("runs.error_number", name, shown, bounds)
    return Problem("runs.error_kind", name, shown)


def _bounds(name: str) -> tuple[tuple[str, str], ...]:
    """The field's limits as (kind, figure), lower one first."""
    limits = []
    for limit in RunConfig.model_fields[name].metadata:
        for attribute, kind in _BOUNDS.items():
            if (figure := getattr(limit, attribute, None)) is not None:
                limits.append((kind, f"{int(figure) if figure == int(figure) else figure:,}"))
    return tuple(limits)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _shown(value: Any) -> str:
    plain = str(value)
    return plain if len(plain) <= 60 else plain[:57] + "..."
