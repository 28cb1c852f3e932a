"""The rows of `gpu.sh`: commands that measure on a GPU, the most important first."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

# Lines of a result, from the output of a command.
Shown = Callable[[str], list[str]]


def tables(output: str) -> list[str]:
    """Return the lines of the tables in Markdown."""
    return [line for line in output.splitlines() if line.startswith("|")]


def last_lines(output: str) -> list[str]:
    """Return the last lines."""
    return output.splitlines()[-3:]


def lines_of(pattern: str) -> Shown:
    """Return a function that finds the lines with a pattern."""
    return lambda output: [line for line in output.splitlines() if re.search(pattern, line)]


def numbers(*names: str) -> Shown:
    """Return a function that takes values from the JSON document that a command prints."""

    def found(output: str) -> list[str]:
        document = json.loads(output[output.index("{") : output.rindex("}") + 1])
        return [f"{name}: {document[name]}" for name in names]

    return found


@dataclass(frozen=True)
class Row:
    """A measurement by one command.

    Attributes:
        name: Name of the row, and of its log.
        title: What is measured.
        command: The command, run in the repository.
        limit: Longest time, seconds.
        shown: Function that finds the lines of the result in the output.
        gpus: Number of GPUs that it needs.
        makes: Folder that the command makes, removed before it runs, because an earlier try may have left it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    limit: float
    shown: Shown = last_lines
    gpus: int = 1
    makes: Path | None = None


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        side: Side of the slide, pixels.
        tiles: Number of tile images.
        px: Side of a tile in training, pixels.
        batch: Tiles in a step of training.
        steps: Steps of a measurement of training.
        long: Steps of the comparison of recipes.
        seconds: Duration of a measurement of encoding.
        workers: Decoding processes of training.
        precision: Precision of training; bf16 is slow on most CPUs.
    """

    side: int = 40_000
    tiles: int = 2_048
    px: int = 224
    batch: int = 512
    steps: int = 50
    long: int = 2_000
    seconds: float = 5
    workers: int = 16
    precision: str = "bf16"


DRY = Sizes(
    side=4_000, tiles=64, px=32, batch=8, steps=2, long=4, seconds=0.2, workers=0, precision="32"
)  # fmt: skip


def make_rows(folder: Path, sizes: Sizes, *, dry: bool) -> list[Row]:
    """Return all rows, the most important first; the first three make what the others need.

    Args:
        folder: Folder for slides, models and tiles.
        sizes: How much to measure.
        dry: Whether to use the CPU in place of GPUs, and to allow three times as long.
    """
    rows = [*_inputs(folder, sizes), *_encoding(folder, sizes, dry), *_training(folder, sizes, dry)]
    by_name = {row.name: row for row in rows}
    assert set(by_name) == set(ORDER)
    found = [by_name[name] for name in ORDER]
    return [replace(row, limit=3 * row.limit, gpus=0) for row in found] if dry else found


ORDER = (
    "slide", "models", "tiles", "doctor", "bench-fp16", "bench-tensorrt", "bench-fp32", "run", "parity",
    "training", "whole-job", "memory", "readers", "recipes", "sessions", "two-embed", "two-train", "tests",
)  # fmt: skip
RATES = numbers("device", "batch_size", "readers", "decode", "encode", "end_to_end", "ideal", "memory_mb")


def _row(
    name: str, title: str, limit: float, shown: Shown, words: str, gpus: int = 1, makes: Path | None = None
) -> Row:
    """Return a row that runs Python with the arguments of a command line."""
    return Row(name, title, (sys.executable, *shlex.split(words)), limit, shown, gpus, makes)


def _inputs(folder: Path, sizes: Sizes) -> list[Row]:
    """Return the rows that make slides, models and tiles."""
    work, slide = _quoted(folder, sizes)
    models = f"benchmarks/models.py --folder {work} {slide}"
    tiles = f"benchmarks/gpu_tiles.py {slide} {work}/tiles.csv --tiles {sizes.tiles}"
    return [
        _row("slide", "slide of real tissue", 240, last_lines,
             f"benchmarks/slides.py --folder {work} --sides {sizes.side}", gpus=0),
        _row("models", "ResNet-18 in fp32, fp16 and int8", 300, last_lines, models, gpus=0),
        _row("tiles", "tile images", 120, last_lines, tiles, gpus=0),
        _row("doctor", "versions, driver and GPUs", 60, lines_of(r"\S"), f"-m wsi_embed doctor {work}"),
    ]  # fmt: skip


def _encoding(folder: Path, sizes: Sizes, dry: bool) -> list[Row]:
    """Return the rows that encode tiles."""
    work, slide = _quoted(folder, sizes)
    device, tensorrt, several = ("cpu", "cpu", "cpu") if dry else ("cuda", "tensorrt", "cuda:all")
    gpu = ("ONNX Runtime CUDA fp16", "ONNX Runtime CUDA fp32", "TensorRT fp16")
    engines = ("ONNX Runtime fp32",) if dry else gpu
    passes, batch, tiles = (1, 4, 32) if dry else (5, 256, 512)

    def bench(name: str, title: str, model: str, on: str, gpus: int = 1) -> Row:
        words = f"bench {slide} --model {work}/{model} --device {on} --seconds {sizes.seconds} --json"
        return _row(name, title, 300, RATES, f"-m wsi_embed {words}", gpus)

    return [
        bench("bench-fp16", "bare session, readers and the whole way, fp16", "fp16.onnx", device),
        bench("bench-tensorrt", "the same with TensorRT", "fp16.onnx", tensorrt),
        bench("bench-fp32", "the same in fp32", "fp32.onnx", device),
        _row("parity", "engines beside PyTorch", 300, tables,
             f"benchmarks/encode.py {work}/run --tiles {work}/tiles.csv --calibrate {work}/tiles.csv "
             f"--split train --threads {max(1, sizes.workers)} --batch-size {sizes.tiles // 8} "
             f"--passes {passes}"),
        _row("whole-job", "whole job and its limit", 300, tables,
             f"benchmarks/end_to_end.py --folder {work} --sides {sizes.side} --passes {min(2, passes)} "
             f"--seconds {sizes.seconds} --rows {shlex.join(engines)}"),
        _row("memory", "a batch that does not fit is halved", 120, last_lines,
             f"benchmarks/gpu_memory.py {work}/fp32.onnx --device {device} --batch {4 * batch}"),
        _row("readers", "readers", 180, tables,
             f"benchmarks/readers.py {slide} --tiles {tiles} --passes {min(3, passes)}"),
        _row("sessions", "threads and sessions on a GPU", 120, tables,
             f"benchmarks/gpu_sessions.py {work}/fp16.onnx --device {device} --batch {batch} "
             f"--seconds {sizes.seconds}"),
        bench("two-embed", "embedding on all GPUs", "fp16.onnx", several, gpus=2),
    ]  # fmt: skip


def _training(folder: Path, sizes: Sizes, dry: bool) -> list[Row]:
    """Return the rows that train, and the tests."""
    work, slide = _quoted(folder, sizes)
    device, two = ("cpu", "cpu:2") if dry else ("cuda", "2")
    figures = lines_of(r"images/s|largest batch|memory of|workers")

    def train(name: str, title: str, devices: str, gpus: int = 1) -> Row:
        # a small batch, because the split of the tiles has to hold several
        words = f"train {work}/tiles.csv --split train --out {work}/{name} --epochs 2 --mpp 0.5"
        sized = f"--tile-px {sizes.px} --batch-size {min(64, sizes.batch)} --workers {sizes.workers}"
        line = f"-m wsi_embed {words} {sized} --precision {sizes.precision} --devices {devices}"
        return _row(name, title, 180, last_lines, line, gpus, folder / name)

    return [
        train("run", "training by the command, bf16", device),
        _row("training", "training (a) to (d), bf16, memory and the largest batch", 420, figures,
             f"benchmarks/train.py {work}/tiles.csv --split train --slides {slide} --px {sizes.px} --memory "
             f"--precision {sizes.precision} "
             f"--batch-size {sizes.batch} --steps {sizes.steps} --workers {sizes.workers}"),
        _row("recipes", f"{sizes.long:,} steps of clubyol and clubyol-paper", 420, tables,
             f"benchmarks/gpu_recipes.py {work}/tiles.csv --out {work}/recipes --px {min(96, sizes.px)} "
             f"--batch-size {min(256, sizes.batch)} --steps {sizes.long} --workers {sizes.workers} "
             f"--devices {device} --precision {sizes.precision}", makes=folder / "recipes"),
        train("two-train", "training on two GPUs", two, gpus=2),
        _row("tests", "tests that need CUDA", 300, last_lines, "-m pytest -n 0 -q -m gpu tests"),
    ]  # fmt: skip


def _quoted(folder: Path, sizes: Sizes) -> tuple[str, str]:
    """Return the folder and the slide of `benchmarks/slides.py`, for command lines."""
    return shlex.quote(str(folder)), shlex.quote(str(folder / f"slide{sizes.side}.tif"))
