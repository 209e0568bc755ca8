"""What this machine offers and lacks for training: one sentence and one remedy a check, without loading torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Check(BaseModel):
    """The outcome of one check; `text` and `remedy_text` say it to a person."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: Literal["ok", "warning", "failed"]
    sentence: str
    remedy: str | None = None
    values: dict[str, str] = Field(default_factory=dict)

    def text(self, locale: str = "en") -> str:
        """One sentence: what was found."""
        raise NotImplementedError

    def remedy_text(self, locale: str = "en") -> str:
        """One sentence: what to do; empty when all is well."""
        raise NotImplementedError


def checks(data_dir: Path, port: int | None = None) -> list[Check]:
    """Every check, in the order a person reads them; `port` None leaves the port out (the UI itself holds it)."""
    raise NotImplementedError
