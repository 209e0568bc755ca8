"""Presets of the training form, and the way from what a person typed to a RunConfig."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from training.contract import RunConfig


class Preset(BaseModel):
    """A named starting point: `config` holds the RunConfig fields that it sets; texts are per locale (ja, en)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: dict[str, str]
    note: dict[str, str]
    config: dict[str, Any]


def presets() -> dict[str, Preset]:
    """All presets by name, in the order that the form shows."""
    raise NotImplementedError


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """A run's configuration from its preset and what a person typed over it.

    Full-width digits and thousands separators are numbers; empty means the preset's value. RunConfigError lists every
    wrong field in one sentence each.
    """
    raise NotImplementedError
