"""The table of recipes in the training tab shows what was measured, nothing else."""

import pytest

from studio.i18n import text
from studio.pages.recipes_view import COLUMNS, measured, recipes_table
from tests.benchmarks.bench_injection import RECIPES, shown
from tests.benchmarks.results_file import load


def test_its_figures_are_those_of_the_benchmark() -> None:
    assert measured() == shown(load("injection")["recipes"])


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_measured_recipe_has_a_row_with_its_name_and_a_figure_a_column(language: str) -> None:
    table = recipes_table(language)
    assert "recommended" in measured() and set(measured()) <= set(RECIPES)
    for recipe in measured():
        assert text(f"recipes.{recipe}", language) in table
    assert table.count("<tr>") == len(measured()) + 1
    assert table.count("<td") == len(measured()) * (len(COLUMNS) + 1)
