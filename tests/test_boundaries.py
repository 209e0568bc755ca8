"""The walls of the house: which process may import what, and what lies at the top level."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformers", "peft", "trl", "unsloth", "bitsandbytes"}
# Standard library and pydantic only.
OPEN_TO_STUDIO = ("contract", "doctor", "errands", "nvidia", "preflight_report", "reasoning", "scoring")
TOP_LEVEL = {"app.py", "studio", "training", "assets", "tests", "requirements.txt", "README.md"}


def modules_after(statement: str) -> set[str]:
    """Modules that a fresh interpreter holds after running `statement` in the project."""
    program = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Names of the modules that a file imports anywhere in it, late imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_the_ui_process_never_loads_the_training_stack() -> None:
    loaded = {name.partition(".")[0] for name in modules_after("import app")}
    assert not loaded & HEAVY


def test_the_contract_needs_the_standard_library_and_pydantic_only() -> None:
    loaded = {
        name.partition(".")[0]
        for name in modules_after("import training.contract, training.reasoning, training.scoring")
    }
    assert not loaded & (HEAVY | {"gradio", "pandas", "numpy", "httpx", "studio"})


@pytest.mark.parametrize("path", python_files("training"), ids=lambda path: path.name)
def test_training_never_imports_gradio_or_studio(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports_of(path)} & {"gradio", "studio"}


@pytest.mark.parametrize("path", python_files("studio"), ids=lambda path: str(path.relative_to(ROOT)))
def test_studio_knows_a_few_modules_of_training_and_gradio_only_in_pages(path: Path) -> None:
    imported = imports_of(path)
    of_training = {name for name in imported if name.partition(".")[0] == "training"}
    assert of_training <= {f"training.{name}" for name in OPEN_TO_STUDIO}
    if "pages" not in path.relative_to(ROOT).parts and path.name != "i18n.py":
        assert not {name for name in imported if name.partition(".")[0] == "gradio"}


def test_only_the_store_opens_sqlite() -> None:
    openers = {
        p.relative_to(ROOT).as_posix() for p in python_files("studio") if "sqlite3.connect(" in p.read_text("utf-8")
    }
    assert openers == {"studio/store.py"}


def test_the_top_level_is_exactly_as_designed() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name.split("/")[0] for name in listed.stdout.split("\0") if name and not name.startswith(".")} == TOP_LEVEL


def test_a_child_process_finds_our_studio_although_unsloth_installs_one_of_its_own(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    program = "import studio; print(studio.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == ROOT / "studio" / "__init__.py"
