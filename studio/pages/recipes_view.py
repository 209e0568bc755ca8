"""What each recipe was measured to teach and to keep, as a table for whoever fills in the form.

It must not know how it was measured: tests/benchmarks/bench_injection.py writes the figures.
"""

import json
from functools import cache
from typing import Any

from studio.i18n import text
from studio.pages.markup import element, words
from training.contract import PROJECT_ROOT

FIGURES = PROJECT_ROOT / "assets" / "measured" / "recipes.json"
COLUMNS = ("trained", "heldout_phrasing", "reverse", "heldout_fact", "out_of_domain", "never_replayed", "seconds")


@cache
def measured() -> dict[str, dict[str, float]]:
    """Each recipe's scores in percent and its seconds of training; what was known before is told as the share kept."""
    found: dict[str, dict[str, float]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def recipes_table(locale: str) -> str:
    """Folded: recipes down, question sets across."""
    heads = words(text("recipes.recipe", locale), name="th") + "".join(
        words(text(f"recipes.column_{column}", locale), "number", "th") for column in COLUMNS
    )
    rows = "".join(_row(recipe, figures, locale) for recipe, figures in measured().items())
    table = element("table", element("thead", element("tr", heads)) + element("tbody", rows), "oboe-table")
    told = words(text("recipes.note", locale), "oboe-muted", "p")
    summary = words(text("recipes.title", locale), name="summary")
    return element("details", summary + told + element("div", table, "oboe-table-frame"))


def _row(recipe: str, figures: dict[str, Any], locale: str) -> str:
    cells = "".join(words(f"{figures[column]:.0f}", "number", "td") for column in COLUMNS)
    return element("tr", words(text(f"recipes.{recipe}", locale), name="td") + cells)
