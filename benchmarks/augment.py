"""Benchmark of the augmentation: Pillow as published, this package's batches, and kornia.

    PYTHONPATH=.:train python benchmarks/augment.py --threads 1 2

Prints a Markdown table for each size, device and number of threads: milliseconds per tile for each operation,
applied to every tile, and for the whole recipe with its probabilities and two views. Pillow always uses one
core, as in a decoding worker. kornia, if installed, is measured with both of its crops, on whole batches and
on parts of the size used by this package. Times are medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms as T

from wsi_embed_train import load_recipe
from wsi_embed_train.augment import Views, colour, published, resample, stain, views
from wsi_embed_train.augment.draw import Draw

K: Any = None
with contextlib.suppress(ImportError):
    K = importlib.import_module("kornia.augmentation")

Job = Callable[[], Any]
MEAN, STD = (0.7, 0.5, 0.6), (0.2, 0.2, 0.2)
WHOLE = "whole recipe, two views"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--px", type=int, nargs="+", default=[96, 224])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    # glibc reuses memory after a block of this size was freed once, as in any training step
    torch.zeros(31 * 2**18)
    for px in args.px:
        for device in ["cpu", "cuda"][: 1 + torch.cuda.is_available()]:
            for threads in args.threads if device == "cpu" else args.threads[:1]:
                torch.set_num_threads(threads)
                print_table(px, args.batch, device, threads, args.repeats)


def print_table(px: int, batch: int, device: str, threads: int, repeats: int) -> None:
    torch.manual_seed(0)
    tiles = torch.randint(0, 256, (batch, px, px, 3), dtype=torch.uint8)
    columns = {"Pillow": pillow_jobs(tiles, px), "ours": our_jobs(tiles.to(device), px)}
    if K is not None:
        columns |= kornia_jobs(tiles.to(device), px)
    rows = list(columns["ours"])
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats + 1):
        for column, jobs in columns.items():
            for row, job in jobs.items():
                began = time.perf_counter()
                job()
                if device == "cuda":
                    torch.cuda.synchronize()
                times.setdefault((row, column), []).append((time.perf_counter() - began) * 1e3 / batch)
    medians = {key: statistics.median(each[1:]) for key, each in times.items()}
    print(f"\n{px} px, batches of {batch}, {device}, {threads} thread{'s' * (threads > 1)}:\n")
    print("| ms a tile |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 1) + "|")
    for row in rows:
        found = [medians.get((row, column)) for column in columns]
        print(f"| {row} |", " | ".join("" if ms is None else f"{ms:.3f}" for ms in found), "|")


def pillow_jobs(tiles: Tensor, px: int) -> dict[str, Job]:
    """Return the operations of the published code, tile by tile."""
    recipe = load_recipe("clubyol-paper", tile_px=px)
    images = [Image.fromarray(tile.numpy()) for tile in tiles]
    two = published.TwoViews(recipe, MEAN, STD)
    flip, tensor = T.RandomHorizontalFlip(), T.Compose([T.ToTensor(), T.Normalize(MEAN, STD)])
    crop = T.RandomResizedCrop(px, recipe.crop_scale)
    each: dict[str, Callable[[Image.Image], Any]] = {
        "crop and flip": lambda image: flip(crop(image)),
        "jitter": T.ColorJitter(*recipe.jitter),
        "grey": T.Grayscale(3),
        "blur": published.PillowBlur(recipe.blur_sigma),
        "normalise": tensor,
        WHOLE: two,
    }
    return {name: lambda op=op: [op(image) for image in images] for name, op in each.items()}  # type: ignore[misc]


def our_jobs(tiles: Tensor, px: int) -> dict[str, Job]:
    """Return the operations of this package, in parts of the size used by `Views`."""
    recipe = load_recipe("clubyol-paper", tile_px=px, stain=0.05)
    draw = Draw.make(recipe, len(tiles), px)
    whole = Views(load_recipe("clubyol-paper", tile_px=px), MEAN, STD).to(tiles.device)
    image = floats(tiles).contiguous()
    box, flip, by, kernel, mixing = (
        views.on(tiles, numbers)
        for numbers in (
            draw.box, draw.flip, draw.jitter, resample.box_blurs(draw.sigma, recipe.blur_sigma[1]),
            stain.mixing(draw.stain),
        )
    )  # fmt: skip
    each: dict[str, Callable[[slice], Any]] = {
        "crop and flip": lambda p: resample.crop(tiles[p], box[p], flip[p], px),
        "jitter": lambda p: colour.jitter(image[p].clone(), by[p], draw.order),
        "grey": lambda p: colour.grey(image[p]).expand(-1, 3, -1, -1).contiguous(),
        "blur": lambda p: resample.blur(image[p], kernel[p]),
        "normalise": lambda p: image[p].sub(whole.mean).div_(whole.std),
        "stain (ours alone)": lambda p: stain.stain(image[p], mixing[p]),
    }
    jobs: dict[str, Job] = {name: in_parts(tiles, px, op) for name, op in each.items()}
    return jobs | {WHOLE: lambda: whole(tiles)}


def kornia_jobs(tiles: Tensor, px: int) -> dict[str, dict[str, Job]]:
    """Return the operations of kornia, with its crop that loops over tiles and the one that does not."""
    recipe = load_recipe("clubyol-paper", tile_px=px)
    image = floats(tiles).contiguous()

    def made(mode: str, p: float | None) -> dict[str, nn.Module]:
        crop = K.RandomResizedCrop((px, px), recipe.crop_scale, cropping_mode=mode)
        flip = K.RandomHorizontalFlip(p=recipe.flip_p)
        return {
            "crop and flip": nn.Sequential(crop, flip),
            "jitter": K.ColorJitter(*recipe.jitter, p=p or recipe.jitter_p),
            "grey": K.RandomGrayscale(p=p or recipe.grey_p),
            "blur": K.RandomGaussianBlur((13, 13), recipe.blur_sigma, p=p or recipe.blur_p),
            "normalise": K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        }

    columns: dict[str, dict[str, Job]] = {}
    for mode in ("slice", "resample"):
        whole = nn.Sequential(*made(mode, None).values())
        each: dict[str, Callable[[slice], Any]] = {
            name: lambda p, op=op: op(image[p])  # type: ignore[misc]
            for name, op in made(mode, 1.0).items()
        }
        each[WHOLE] = lambda p, whole=whole: [whole(floats(tiles[p])) for _ in range(2)]  # type: ignore[misc]
        columns[f"kornia, {mode}"] = {n: in_parts(tiles, len(tiles) * px, op) for n, op in each.items()}
        columns[f"kornia, {mode}, in parts"] = {n: in_parts(tiles, px, op) for n, op in each.items()}
    return columns


def in_parts(tiles: Tensor, px: int, op: Callable[[slice], Any]) -> Job:
    pixels = views.CPU_PIXELS if tiles.device.type == "cpu" else views.DEVICE_PIXELS
    step = max(1, pixels // px**2)
    return lambda: [op(slice(start, start + step)) for start in range(0, len(tiles), step)]


def floats(tiles: Tensor) -> Tensor:
    return tiles.permute(0, 3, 1, 2).float().div(255)


if __name__ == "__main__":
    main()
