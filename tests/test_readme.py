"""README says what is there: its layout block, its commands, its pictures and its figures."""

import re
from pathlib import Path

import pytest

from tests.benchmarks.results_file import load

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def layout() -> set[str]:
    """The paths that README's layout block names, folders with their slash."""
    block = re.search(r"## Layout.*?```\n(.*?)```", README, re.S)
    assert block
    paths: set[str] = set()
    folder = ""
    for line in block[1].splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        paths.add(folder + name)
        if name.endswith("/") and not line.startswith(" "):
            folder = name
    return paths


def tree() -> set[str]:
    """The top level without dotfiles, and what lies one level below studio/ and training/."""
    found: set[str] = set()
    for path in ROOT.iterdir():
        if not path.name.startswith((".", "__")) and not path.name.endswith("_cache"):
            found.add(path.name + "/" * path.is_dir())
    for folder in ("studio", "training"):
        for path in (ROOT / folder).iterdir():
            if not path.name.startswith((".", "__")):
                found.add(f"{folder}/{path.name}" + "/" * path.is_dir())
    return found


def test_the_layout_block_is_the_tree_both_ways() -> None:
    assert layout() == tree()


def test_every_picture_that_readme_shows_is_there() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert pictures
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def figures() -> list[tuple[str, str, str]]:
    """Every figure written as `<!-- file:key -->12.3<!-- -->`: file, dotted key, the text shown."""
    return re.findall(r"<!-- (\w+):([\w.]+) -->(.*?)<!-- -->", README)


def test_readme_has_figures_to_check() -> None:
    assert figures()


@pytest.mark.parametrize(("file", "key", "shown"), figures())
def test_a_figure_in_readme_is_the_one_that_was_measured(file: str, key: str, shown: str) -> None:
    value = load(file)
    for part in key.split("."):
        value = value[part]
    assert shown == str(value)
