"""What /preflight answers: the report in plain JSON; it must not know how anything in it was found out."""

from typing import Any

from studio.i18n import text
from studio.runs.stages import Outlook
from training.preflight_report import Finding, Preflight


def preflight_json(
    found: Preflight, seconds: float | None, locale: str, outlook: Outlook | None = None
) -> dict[str, Any]:
    """The report on a plan's first run with its sentences in `locale`; what is not known is null.

    `seconds` is the time of that run. `later` is what configurations and data tell of a chain's other stages.
    """
    beside = outlook or Outlook()
    figures = found.model_dump(
        include={
            *("engine", "repository", "modules", "trainable_parameters", "four_bit_share"),
            *("facts", "examples", "documents", "replayed", "blocks", "sequences", "steps", "trained_tokens"),
            *("device_bytes", "free_bytes", "download_bytes", "disk_bytes", "disk_free_bytes"),
        }
    )
    return figures | {
        "passed": found.passed and beside.passed,
        "seconds": None if seconds is None else round(seconds),
        "mask_preview": [one.model_dump(mode="json") for one in found.shown],
        "lengths": found.model_dump(
            mode="json",
            include={"longest", "longest_sequence", "truncated", "untrained", "useful_token_share", "histogram"},
        ),
        "warnings": [_warning(finding, locale) for finding in (*beside.first, *found.findings)],
        "later": [
            {
                "preset": config.preset,
                "passed": stage.passed,
                **stage.model_dump(include={"facts", "examples", "documents", "steps"}),
                "warnings": [_warning(finding, locale) for finding in stage.findings],
            }
            for config, stage in beside.later
        ],
        "vram_bytes": found.memory.total if found.memory else None,
        "memory": found.memory.model_dump() if found.memory else None,
    }


def _warning(finding: Finding, locale: str) -> dict[str, Any]:
    return {
        "code": finding.code.partition(".")[2],
        "message": text(finding.code, locale, **finding.values),
        "severity": finding.severity,
        "fix": finding.model_dump(mode="json")["fix"],
    }
