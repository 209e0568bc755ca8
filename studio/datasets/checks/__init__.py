"""Quality checks of a dataset: what is missing, doubled, contradictory, misspelt, foreign or leaked."""

from studio.datasets.checks.found import CODES, Code
from studio.datasets.checks.room import STAGES, Checks, CodeCount, Finding, FindingPage, Report

__all__ = ["CODES", "STAGES", "Checks", "Code", "CodeCount", "Finding", "FindingPage", "Report"]
