"""Ships a finished run of the preset `demo` as the sample run in assets/demo/run.

    python -m training.demo_sample DATA_FOLDER/runs/demo-1

What was replayed stays behind: it is assets/demo/replay.jsonl once more.
"""

import argparse
import logging
import shutil
from pathlib import Path

from training.contract import PROJECT_ROOT, RunFolder, replace_text

SAMPLE = PROJECT_ROOT / "assets/demo/run"

log = logging.getLogger(__name__)


def ship(run: RunFolder, sample: RunFolder) -> None:
    """Replace the sample run. Raises ValueError where the run is not a finished one of the preset."""
    config, status = run.read_config(), run.read_status()
    if config.preset != "demo" or status is None or status.state != "finished":
        raise ValueError(f"{run.root} is no finished run of the preset demo")
    shutil.rmtree(sample.root, ignore_errors=True)
    sample.root.mkdir()
    for path in (run.config, run.examples, run.metrics):
        shutil.copy(path, sample.root)
    shutil.copytree(run.adapter, sample.adapter)
    # The process is of the machine that trained; a reader elsewhere must not look for it.
    own = status.model_copy(update={"pid": None, "pid_started": None})
    replace_text(sample.status, own.model_dump_json(indent=2) + "\n")
    log.info("%d steps, last loss %.4f, written to %s", status.step, status.train_loss or 0.0, sample.root)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m training.demo_sample", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    ship(RunFolder(parser.parse_args().run), RunFolder(SAMPLE))
