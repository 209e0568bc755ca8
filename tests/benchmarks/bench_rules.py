"""Prints which share of 200 fixed questions the augmentation rules cover: `python -m tests.benchmarks.bench_rules`.

Half of the questions ask for a short fact, half for an explanation, which no rule can reword.
"""

import json
import platform
from pathlib import Path
from typing import Any

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from studio.datasets.model import Fact
from tests.benchmarks.results_file import RESULTS

QUESTIONS = Path(__file__).resolve().parents[1] / "data" / "questions_200.jsonl"


def read_questions() -> list[Fact]:
    """The fixed questions as facts."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    return [Fact(id=number, **json.loads(line)) for number, line in enumerate(lines, start=1)]


def measure() -> dict[str, Any]:
    """How many questions the default plan can be filled for in both directions, and by which family of wordings."""
    facts = read_questions()
    covered = [fact for fact in facts if _full(fact)]
    return {
        "covered": len(covered),
        "total": len(facts),
        "share": round(len(covered) / len(facts), 3),
        "by_form": dict(sorted(rules.families(facts).items())),
    }


def _full(fact: Fact) -> bool:
    try:
        return len(rules.make(fact, Plan())) == Plan().per_fact - 1
    except rules.NeedsModel:
        return False


def main() -> None:
    """Measure, print, and keep the figures."""
    figures = measure()
    for form, count in figures["by_form"].items():
        print(f"{count:4d}  {form}")
    print(f"covered {figures['covered']} of {figures['total']} ({figures['share']:.1%})")
    content = {**figures, "python": platform.python_version()}
    (RESULTS / "rules_coverage.json").write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
