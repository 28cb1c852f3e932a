r"""Benchmark of the start of `wsi-embed SLIDE --out STORE` until the first encoded batch, step by step.

    PYTHONPATH=. python benchmarks/start_up.py build/bench/slide20000.tif

It uses the demonstration model on the CPU, with files in the page cache. The command reports every batch.
Results are medians in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAY_ALL = "import wsi_embed.cli.log as log; log.PROGRESS_SECONDS = 0; log.sys.modules['wsi_embed.cli'].main()"
STEPS = {
    "job_started": "imported, the model loaded",
    "slide_started": "the slide opened, its tissue found",
    "progress": "the first batch encoded",
    "job_finished": "everything done",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("--passes", type=int, default=7)
    args = parser.parse_args()
    start(args.slide)  # fills the page cache
    runs = [start(args.slide) for _ in range(args.passes)]
    print("| until | s, median | least | most |\n|---|---|---|---|")
    for step, what in STEPS.items():
        times = [run[step] for run in runs]
        print(f"| {what} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} |")


def start(slide: Path) -> dict[str, float]:
    """Return the seconds from the start of the command to the first log line of each step."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "feats.zarr")
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", SAY_ALL, slide, "--out", out, "--device", "cpu", "--log-json"],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout
            seconds: dict[str, float] = {}
            for line in process.stdout:
                seconds.setdefault(json.loads(line)["event"], time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
