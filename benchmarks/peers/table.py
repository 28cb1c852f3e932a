"""Table of the results of `run.py`: medians, and the ratio to the alternating runs of wsi-embed.

PYTHONPATH=. python benchmarks/peers/table.py build/bench/*.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = (
    "tool", "tiles", "tiles/s, no imports", "times the peer", "whole process, ms a tile", "times as fast",
    "memory, MB", "imports and exit, s", "environment, MB", "centred cosine, mean (least)",
)  # fmt: skip
WHO = {"theirs": "{}", "fp32": "wsi-embed fp32, beside {}", "int8": "wsi-embed int8, beside {}"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("found", type=Path, nargs="+")
    args = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for path in args.found:
        found = json.loads(path.read_text())
        if "theirs" in found:
            print(row(found))


def row(found: dict[str, Any]) -> str:
    """Format the line of one tool, with those of wsi-embed beside it."""
    rate: dict[str, float] = {}
    whole: dict[str, float] = {}
    for who in WHO:
        rate[who] = median(found[who], lambda run: run["tiles"] / run["seconds_without_imports"])
        whole[who] = median(found[who], lambda run: 1000 * run["seconds"] / run["tiles"])
    lines = []
    for who, name in WHO.items():
        runs, theirs = found[who], who == "theirs"
        cells = [
            name.format(found["peer"]),
            str(runs[0]["tiles"]),
            f"{rate[who]:.1f}",
            "" if theirs else f"{rate[who] / rate['theirs']:.2f}",
            f"{whole[who]:.1f}",
            "" if theirs else f"{whole['theirs'] / whole[who]:.2f}",
            f"{median(runs, lambda run: run['memory_mb']):.0f}",
            f"{median(runs, lambda run: run['import_seconds']):.1f}",
            str(found["environment_mb"]) if theirs else "",
            f"{found['cosine']['mean']:.4f} ({found['cosine']['least']:.4f})" if theirs else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def median(runs: list[dict[str, float]], value: Callable[[dict[str, float]], float]) -> float:
    """Return the median of a value over runs."""
    return statistics.median(value(run) for run in runs)


if __name__ == "__main__":
    main()
