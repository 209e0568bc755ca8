"""How long until the first page, beside an empty Gradio app: `python -m tests.benchmarks.bench_startup`.

Both programs are started in turn, five times each after one warm-up, from process start until `GET /` answers 200
with the page; memory is the resident set of the process right after it, and again after a minute of its page open
would only add what a visitor asks for, so the first figure is the one compared.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.benchmarks.results_file import save

ROOT = Path(__file__).resolve().parents[2]
RUNS = 5
EMPTY = """
import sys, gradio as gr
with gr.Blocks() as demo:
    gr.Markdown("empty")
demo.launch(server_port=int(sys.argv[1]), quiet=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_page(command: Sequence[str], port: int, timeout_s: float = 120) -> tuple[float, float]:
    """Seconds from process start to the first page, and the resident memory in MB of that process then."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - started < timeout_s:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    page.read()
                return time.perf_counter() - started, psutil.Process(process.pid).memory_info().rss / 1e6
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.01)
        raise TimeoutError(f"{command} showed no page in {timeout_s} s")
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Run both programs in turn and save medians and their ratio."""
    empty: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(RUNS + 1):
            port = free_port()
            empty_app = first_page([sys.executable, "-c", EMPTY, str(port)], port)
            port = free_port()
            our_app = first_page([sys.executable, "app.py", "--port", str(port), "--data-dir", folder], port)
            if run:
                empty.append(empty_app)
                ours.append(our_app)
            print(f"run {run}: empty {empty_app[0]:.2f} s {empty_app[1]:.0f} MB,", end=" ")
            print(f"Oboe {our_app[0]:.2f} s {our_app[1]:.0f} MB", flush=True)
    ratios = [our[0] / other[0] for our, other in zip(ours, empty, strict=True)]
    figures = {
        "empty_first_page_s": round(statistics.median(s for s, _ in empty), 2),
        "first_page_s": round(statistics.median(s for s, _ in ours), 2),
        "ratio": round(statistics.median(ratios), 2),
        "empty_memory_mb": round(statistics.median(mb for _, mb in empty)),
        "memory_mb": round(statistics.median(mb for _, mb in ours)),
        "runs": RUNS,
    }
    print(figures)
    save("startup", figures)


if __name__ == "__main__":
    main()
