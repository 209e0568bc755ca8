"""A worker of a few lines that obeys the contract: its run's name says what it does."""

import os
import sys
import time
from pathlib import Path

import psutil

from training.contract import RunFolder, RunStatus, replace_text


def say(folder: RunFolder, **known: object) -> None:
    me = psutil.Process()
    replace_text(folder.status, RunStatus(pid=me.pid, pid_started=me.create_time(), **known).model_dump_json())


def save_adapter(folder: RunFolder) -> None:
    folder.adapter.mkdir(exist_ok=True)
    (folder.adapter / "adapter_config.json").write_text("{}")
    (folder.adapter / "adapter_model.safetensors").write_bytes(b"")


def main() -> None:
    folder = RunFolder(Path(sys.argv[1]))
    what = folder.read_config().name
    sys.stdout.write("loading the base\n")
    sys.stdout.flush()
    if what == "resumes" and folder.log.read_text().count("loading") > 1:
        what = "saves"
    if what == "raises":
        raise MemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    if what == "exits":
        os.write(1, b"step 3 of 10\r  30%|###  |\n")
        os._exit(7)
    if what == "finishes":
        say(folder, state="finished", step=10, total_steps=10)
        return
    if what == "saves":
        save_adapter(folder)
        say(folder, state="finished", step=10, total_steps=10)
        return
    if what != "silent":
        say(folder, state="running", phase="training", step=3, total_steps=10)
    deadline = time.monotonic() + 60
    while not folder.stop.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    save_adapter(folder)
    say(folder, state="finished" if what == "completes" else "stopped", step=4, total_steps=10)


if __name__ == "__main__":
    main()
