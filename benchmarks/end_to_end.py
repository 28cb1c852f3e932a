r"""Benchmark of the whole command `wsi-embed` against the limit of the machine, by model and device.

    PYTHONPATH=. python benchmarks/end_to_end.py --folder build/bench --sides 20000 40000

The limit is 1 / (1 / reading + 1 / encoding), each measured alone on all cores by `wsi-embed bench` right
before each run. Times are those of the whole process. Runs alternate; results are medians. Peak memory
includes child processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import run
from wsi_embed import load_encoder
from wsi_embed.errors import WsiEmbedError

# Name of the row, file and device.
ROWS = (
    ("ONNX Runtime fp32", "fp32.onnx", "cpu"),
    ("ONNX Runtime int8", "int8.onnx", "cpu"),
    ("OpenVINO fp32", "fp32.onnx", "openvino"),
    ("OpenVINO bf16", "fp32.onnx", "openvino:bf16"),
    ("OpenVINO int8", "int8.onnx", "openvino"),
    ("ONNX Runtime CUDA fp32", "fp32.onnx", "cuda"),
    ("ONNX Runtime CUDA fp16", "fp16.onnx", "cuda"),
    ("TensorRT fp16", "fp16.onnx", "tensorrt"),
)
COMMAND = (sys.executable, "-m", "wsi_embed")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of slides.py and models.py")
    parser.add_argument("--sides", type=int, nargs="+", default=[20_000])
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each of bench's measurements")
    parser.add_argument("--rows", nargs="+", default=[name for name, _, _ in ROWS])
    args = parser.parse_args()
    rows = {name: (args.folder / file, device) for name, file, device in ROWS if name in args.rows}
    missing = {name: why for name, row in rows.items() if (why := cannot(*row))}
    for side in args.sides:
        slide = args.folder / f"slide{side}.tif"
        runs: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.passes):
            for name in [name for name in rows if name not in missing]:
                limit = bench(slide, *rows[name], args.seconds)
                runs.setdefault(name, []).append(embed_once(slide, *rows[name]) | limit)
        print_table(side, runs, missing)


def cannot(model: Path, device: str) -> str:
    """Return the reason why a model does not run on a device, empty if it does."""
    try:
        load_encoder(model, device=device)
    except WsiEmbedError as error:
        return str(error).split(";")[0]
    return ""


def bench(slide: Path, model: Path, device: str, seconds: float) -> dict[str, float]:
    """Measure the rates of reading and encoding alone, and derive the limit."""
    command: list[str | Path] = [*COMMAND, "bench", slide, "--model", model, "--device", device]
    found = json.loads(run([*command, "--seconds", str(seconds), "--json"]).output)
    return {name: found[name] for name in ("decode", "encode", "ideal")}


def embed_once(slides: Path, model: Path, device: str) -> dict[str, float]:
    """Embed a slide or a folder of slides in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command: list[str | Path] = [*COMMAND, slides, "--out", Path(folder) / "feats.zarr", "--log-json"]
        measured = run([*command, "--model", model, "--device", device, "--report", report])
        found: dict[str, Any] = json.loads(report.read_text())
    return {
        "tiles": sum(each["tiles"] for each in found["slides"]),
        "seconds": round(measured.seconds, 3),
        "seconds_without_imports": found["seconds"],
        "import_seconds": round(measured.seconds - found["seconds"], 3),
        "memory_mb": round(measured.memory_mb),
    }


def print_table(side: int, runs: dict[str, list[dict[str, float]]], missing: dict[str, str]) -> None:
    """Print one line per model and device."""
    heads = (
        f"{side} px", "tiles", "reading", "encoding", "limit", "tiles/s, no imports", "of the limit",
        "whole process, s", "imports and exit, s", "memory, MB",
    )  # fmt: skip
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, _, _ in ROWS:
        if name in missing:
            print(f"| {name} | not measured ({missing[name]}) |{' |' * (len(heads) - 2)}")
        if name not in runs:
            continue

        def median(key: str, of: list[dict[str, float]] = runs[name]) -> float:
            return statistics.median(each[key] for each in of)

        rate = median("tiles") / median("seconds_without_imports")
        share = statistics.median(
            each["tiles"] / each["seconds_without_imports"] / each["ideal"] for each in runs[name]
        )
        cells = [f"{median(key):.0f}" for key in ("tiles", "decode", "encode", "ideal")]
        cells += [f"{rate:.1f}", f"{share:.2f}", f"{median('seconds'):.2f}"]
        cells += [f"{median('import_seconds'):.2f}", f"{median('memory_mb'):.0f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
