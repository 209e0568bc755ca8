"""Trains the sample run in assets/demo/run again, from the configuration and the examples that lie there.

    python -m training.demo_sample

Those two files are what a run of the preset `demo` over the augmented dataset `demo` froze; this command keeps them
and replaces what the worker made of them. Needs the base model in assets/demo/model.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from training.contract import PROJECT_ROOT, RunFolder, replace_text

SAMPLE = PROJECT_ROOT / "assets/demo/run"

log = logging.getLogger(__name__)


def train_sample(sample: Path) -> None:
    """Run the worker in a scratch folder and copy status, metrics and adapter from there.

    Raises CalledProcessError where the worker fails; its log goes to this process's output.
    """
    with tempfile.TemporaryDirectory() as scratch:
        run, kept = RunFolder(Path(scratch)), RunFolder(sample)
        shutil.copy(kept.config, run.config)
        shutil.copy(kept.examples, run.examples)
        environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
        subprocess.run([sys.executable, "-m", "training.worker", scratch], cwd=scratch, env=environment, check=True)
        _keep(run, kept)


def _keep(run: RunFolder, kept: RunFolder) -> None:
    status = run.read_status()
    assert status is not None and status.state == "finished"
    # The process is of the machine that trained; a reader elsewhere must not look for it.
    own = status.model_copy(update={"pid": None, "pid_started": None})
    replace_text(kept.status, own.model_dump_json(indent=2) + "\n")
    shutil.copy(run.metrics, kept.metrics)
    shutil.rmtree(kept.adapter, ignore_errors=True)
    shutil.copytree(run.adapter, kept.adapter, ignore=shutil.ignore_patterns("*.bin", "*.pt"))
    log.info("%d steps, last loss %.4f, written to %s", status.step, status.train_loss or 0.0, kept.root)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train_sample(SAMPLE)
