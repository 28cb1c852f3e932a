"""Benchmark of training: from images and from slides, the step alone, and the published loop.

    python benchmarks/train.py tiles.csv --split train --slides slides/ --mpp 0.5 --px 224 --batch-size 512

Rows, measured in one run on the same machine, each over the same number of steps after a warm-up:

(a) training of this package from tile images: `wsi_embed_train.train` with its checkpoint and figures;
(b) its step on a batch that stays on the device, the upper limit;
(c) the published loop, reimplemented: augmentation by Pillow in the workers, float32, no channels_last;
(d) training of this package directly from slides (with --slides).

With --memory it also measures the memory of (b) on a GPU, and finds its largest batch.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wsi_embed.errors import Stopped
from wsi_embed_train import Listener, TrainConfig, build_method, load_recipe, train
from wsi_embed_train.augment import Views
from wsi_embed_train.augment.published import TwoViews
from wsi_embed_train.data import open_tiles, read_image
from wsi_embed_train.data.sources import find_source
from wsi_embed_train.module import make_optimizer

AUTOCAST = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path, help="tile images: a folder or a CSV")
    parser.add_argument("--split")
    parser.add_argument("--slides", type=Path, help="for row (d)")
    parser.add_argument("--mpp", type=float, default=0.5)
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    config = load_recipe(
        "clubyol-paper", tile_px=args.px, mpp=args.mpp, batch_size=args.batch_size, epochs=1000,
        precision=args.precision, workers=args.workers, log_steps=args.steps,
    )  # fmt: skip
    rates = {"(b) our step, synthetic": synthetic(config, args.steps)}
    rates["(a) ours, tile images"] = ours(args.source, config, args.split, args.steps)
    rates["(c) published loop, tile images"] = published(args.source, config, args.split, args.steps)
    if args.slides:
        rates["(d) ours, slides"] = ours(args.slides, config, None, args.steps)
    print(f"{where()}, {args.px} px, batch {args.batch_size}, {args.precision}, {args.workers} workers")
    for name, rate in sorted(rates.items()):
        part = rate / rates["(b) our step, synthetic"]
        print(f"{name:34} {rate:8.1f} images/s   {part:.2f} of (b)")
    if args.memory:
        print(f"memory of (b): {memory(config):.1f} GiB")
        print(f"largest batch of (b), a power of two: {largest_batch(config)}")


def where() -> str:
    """Describe the device."""
    return (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )


def synthetic(config: TrainConfig, steps: int) -> float:
    """Return images per second of augmentation, network, loss and optimizer, without loader and Lightning."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_method(config.method, vars(config)).to(device).to(memory_format=torch.channels_last)
    views = Views(config, (0.6,) * 3, (0.2,) * 3).to(device)
    optimizer = make_optimizer(network, config)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "16")
    shape = (config.batch_size, config.tile_px, config.tile_px, 3)
    tiles = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    kind = AUTOCAST[config.precision]

    def step() -> None:
        pair = views(tiles)
        with torch.autocast(device.type, kind, enabled=kind is not None):
            loss = network(pair).loss
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        network.after_step(0.0)

    return timed(step, steps, config.batch_size)


def timed(step: Any, steps: int, batch: int) -> float:
    """Return the images per second after three steps of warm-up."""
    for _ in range(3):
        step()
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return steps * batch / (time.perf_counter() - began)


def wait() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Rates(Listener):
    """Listener that ends a run after a few rows of `metrics.csv` and keeps their speeds."""

    def __init__(self, rows: int) -> None:
        self.rows, self.rates, self.stop = rows, list[float](), threading.Event()

    def figures(self, row: Mapping[str, float]) -> None:
        """Keep the speed of a row; the first row includes the start of the workers."""
        if row["step"] > 1:
            self.rates.append(row["images_per_s"])
        if len(self.rates) >= self.rows:
            self.stop.set()


def ours(source: Path, config: TrainConfig, split: str | None, steps: int) -> float:
    """Return the images per second of `train` from its metrics, in the second row of `steps` steps."""
    listener = Rates(2)
    enough = config.batch_size * (2 * steps + 2)
    with tempfile.TemporaryDirectory() as folder:
        listing = repeated(source, split, enough, Path(folder))
        with contextlib.suppress(Stopped):
            train(listing, Path(folder) / "run", config, listener=listener, stop=listener.stop)
    return statistics.median(listener.rates[1:])


def repeated(source: Path, split: str | None, enough: int, folder: Path) -> Path:
    """Create a source with a long enough epoch by repeating its images under other names."""
    found = find_source(source, split)
    if found.slides or not found.images:
        return source
    (folder / "tiles").mkdir()
    for number in range(max(enough, len(found.images))):
        original = (found.root / found.images[number % len(found.images)]).resolve()
        (folder / "tiles" / f"{number:07}{original.suffix}").symlink_to(original)
    return folder / "tiles"


class PublishedTiles(Dataset[tuple[Tensor, Tensor]]):
    """Images with augmentation by Pillow, as in the published code."""

    def __init__(self, paths: list[Path], views: TwoViews) -> None:
        self.paths, self.views = paths, views

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        from PIL import Image

        return self.views(Image.fromarray(read_image(self.paths[index])))


def published(source: Path, config: TrainConfig, split: str | None, steps: int) -> float:
    """Return images per second of the published loop: float32, contiguous, one loader, no mixed precision."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = find_source(source, split)
    paths = [found.root / name for name in found.images]
    paths *= -(-config.batch_size * (steps + 4) // len(paths))
    tiles = open_tiles(source, config, split=split)
    loader = DataLoader(
        PublishedTiles(paths, TwoViews(config, tuple(tiles.mean), tuple(tiles.std))),
        config.batch_size, shuffle=True, drop_last=True, num_workers=config.workers,
        pin_memory=device.type == "cuda", multiprocessing_context="spawn" if config.workers else None,
    )  # fmt: skip
    network = build_method(config.method, vars(config)).to(device)
    optimizer = make_optimizer(network, config)
    batches = iter(loader)

    def step() -> None:
        pair = [view.to(device, non_blocking=True) for view in next(batches)]
        loss = network(pair).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.after_step(0.0)
        float(loss.detach())  # the published code prints the loss

    return timed(step, steps, config.batch_size)


def memory(config: TrainConfig) -> float:
    """Return the largest memory of the GPU that (b) takes, GiB; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    synthetic(config, 1)
    return torch.cuda.max_memory_allocated() / 2**30


def largest_batch(config: TrainConfig) -> int:
    """Double the batch until the device runs out of memory."""
    from dataclasses import replace

    batch = config.batch_size
    while torch.cuda.is_available():
        try:
            synthetic(replace(config, batch_size=2 * batch), 1)
        except torch.OutOfMemoryError:
            break
        batch *= 2
    return batch


if __name__ == "__main__":
    main()
