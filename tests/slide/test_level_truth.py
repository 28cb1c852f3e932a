"""Pyramids that are not what they seem: every tile is right to the pixel, or the slide is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.made_formats.dicom import write_dicom_images
from tests.made_formats.pixels import jpeg, tiles
from tests.made_formats.tiffs import YCBCR_SUBSAMPLING, Page, write_pages
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.grid import make_grid, plan_read
from wsi_embed.slide import Slide, open_slide

MPP, SIDE = 0.5, 128
LARGE, OTHER = he_pixels(1000, 1300, seed=3), he_pixels(1000, 1300, seed=11)
Size = tuple[int, int]


@dataclass(frozen=True)
class Image:
    """A level as it is written: its pixels, pixel size and further facts."""

    pixels: UInt8Array
    mpp: float | None
    facts: dict[str, Any] = field(default_factory=dict)


def resized(pixels: UInt8Array, size: Size) -> UInt8Array:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def padded(pixels: UInt8Array) -> UInt8Array:
    h, w = pixels.shape[:2]
    return np.asarray(
        cv2.copyMakeBorder(pixels, 0, -h % SIDE, 0, -w % SIDE, cv2.BORDER_CONSTANT, value=(255,) * 3),
        np.uint8,
    )


# Ways of being wrong: of the true pixels of a level, made from all of level 0, what is written instead
Change = Callable[[UInt8Array, float, np.random.Generator], Image]


def label(true: UInt8Array, mpp: float) -> UInt8Array:
    out = np.full_like(true, 250)
    h, w = out.shape[:2]
    cv2.putText(out, "S 17-4711", (w // 12, h // 2), cv2.FONT_HERSHEY_SIMPLEX, w / 200, (0, 0, 0), 2)
    return out


CHANGES: dict[str, Change] = {
    "none": lambda true, mpp, _: Image(true, mpp),
    "no word of its pixels": lambda true, _, __: Image(true, None),
    "pixels of level 0, copied": lambda true, _, __: Image(true, MPP),
    "padded": lambda true, mpp, _: Image(padded(true), mpp),
    "padded, no word of its pixels": lambda true, _, __: Image(padded(true), None),
    "padded, pixels of level 0": lambda true, _, __: Image(padded(true), MPP),
    "shifted": lambda true, mpp, rng: Image(
        np.roll(true, (int(rng.integers(2, 40)), int(rng.integers(2, 40))), (0, 1)), mpp
    ),
    "turned": lambda true, mpp, _: Image(np.ascontiguousarray(true[::-1, ::-1]), mpp),
    "mirrored": lambda true, mpp, _: Image(np.ascontiguousarray(true[:, ::-1]), mpp),
    "on its side": lambda true, mpp, _: Image(np.ascontiguousarray(true.transpose(1, 0, 2)), mpp),
    "another scene": lambda true, mpp, _: Image(resized(OTHER, true.shape[1::-1]), mpp),
    "a label": lambda true, mpp, _: Image(label(true, mpp), mpp),
    "a square label": lambda true, _, __: Image(label(true[:160, :160], 1), None),
    "a mask": lambda true, mpp, _: Image(
        (true.mean(2, keepdims=True) < 200) * np.full(3, 255, np.uint8), mpp
    ),
    "cropped": lambda true, mpp, _: Image(true[:-8, :-20], mpp),
    "cut at the corner": lambda true, mpp, _: Image(true[5:, 9:], mpp),
    "right half missing": lambda true, mpp, _: Image(
        np.where((np.arange(true.shape[1]) < true.shape[1] // 2)[:, None], true, 255).astype(np.uint8), mpp
    ),
    "lower half of another scene": lambda true, mpp, _: Image(
        np.concatenate([true[: len(true) // 2], resized(OTHER, true.shape[1::-1])[len(true) // 2 :]]), mpp
    ),
    "nothing": lambda true, mpp, _: Image(np.full_like(true, 255), mpp),
    "half of it": lambda true, mpp, _: Image(true[:, : true.shape[1] // 2], mpp),
    "darker": lambda true, mpp, _: Image((255 * (true / 255) ** 1.6).astype(np.uint8), mpp),
    "a crop that keeps the shape": lambda true, mpp, _: Image(
        resized(true[: true.shape[0] * 3 // 4, : true.shape[1] * 3 // 4], true.shape[1::-1]), mpp
    ),
}
Writer = Callable[[Path, list[Image]], Path]


def write_tiff(folder: Path, images: list[Image], encoding: str = "deflate", **first: Any) -> Path:
    pages = [
        Page(image.pixels, encoding, SIDE, reduced=n > 0, mpp=image.mpp, **(first if n == 0 else {}))
        for n, image in enumerate(images)
    ]
    return write_pages(folder / "a.tif", pages)


def write_jpeg(folder: Path, images: list[Image]) -> Path:
    return write_tiff(folder, images, "jpeg 4:4:4")


def write_aperio(folder: Path, images: list[Image]) -> Path:
    h, w = images[0].pixels.shape[:2]
    text = f"Aperio Image Library v12.0.15 \r\n{w}x{h} [0,0 {w}x{h}] (128x128)|AppMag = 20|MPP = {MPP}"
    return write_tiff(folder, images, "jpeg RGB", description=text)


def write_ome(folder: Path, images: list[Image]) -> Path:
    """Levels in SubIFDs, JPEG."""
    path = folder / "a.ome.tif"
    with tifffile.TiffWriter(path) as tif:
        for number, image in enumerate(images):
            options: dict[str, Any] = {"photometric": "rgb", "compression": "zlib", "tile": (SIDE, SIDE)}
            options["extratags"] = [(YCBCR_SUBSAMPLING, "H", 2, (1, 1), True)]
            if image.mpp is not None:
                options |= {"resolution": (1e4 / image.mpp,) * 2, "resolutionunit": "CENTIMETER"}
            options |= {"subifds": len(images) - 1} if number == 0 else {"subfiletype": 1}
            parts = [jpeg(part) for part in tiles(image.pixels, SIDE)]
            tif.write(iter(parts), shape=image.pixels.shape, dtype=np.uint8, metadata=None, **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in (tif.pages.first, *(tif.pages.first.pages or ())):
            page.aspage().tags["Compression"].overwrite(7)
            page.aspage().tags["PhotometricInterpretation"].overwrite(6)
    return path


def write_dicom(folder: Path, images: list[Image]) -> Path:
    parts = [(image.pixels, (image.mpp or MPP,) * 2, image.facts) for image in images]
    return write_dicom_images(folder / "dicom", parts, side=SIDE)[0]


WRITERS: dict[str, Writer] = {
    "generic": write_tiff,
    "generic, JPEG": write_jpeg,
    "aperio": write_aperio,
    "ome": write_ome,
    "dicom": write_dicom,
}


def truth(pixels: UInt8Array, x: float, y: float, side: float, n: int) -> UInt8Array:
    """The square of level 0 at (x, y) as n x n pixels: area averages, at fractions of a pixel too."""
    fine = 4
    grid = (np.arange(n * fine, dtype=np.float32) + 0.5) * (side / n / fine)
    across, down = np.meshgrid(grid + x - 0.5, grid + y - 0.5)
    found = cv2.remap(
        pixels, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,) * 3
    )
    return resized(np.asarray(found, np.uint8), (n, n))


def check(slide: Slide, pixels: UInt8Array, targets: tuple[float, ...]) -> None:
    """All tiles at some resolutions lie where their coordinates say, to a pixel of their level."""
    usable = slide.usable_levels()
    for target in targets:
        plan = plan_read(MPP, [slide.level_downsamples[level] for level in usable], target, 48)
        plan = replace(plan, level=usable[plan.level])
        scale, size = slide.level_scales[plan.level], slide.level_sizes[plan.level]
        grid = make_grid(plan, scale, size, slide.bounds)
        assert len(grid)
        chosen = grid.where(np.s_[:: max(1, len(grid) // 8)])
        for row, tile in slide.read_tiles(chosen):
            x, y = chosen.coords[row].tolist()
            blurred = cv2.GaussianBlur(tile, (0, 0), 1.5).astype(int)
            near: list[float] = []
            for dx, dy in itertools.product((0, -scale[0], scale[0]), (0, -scale[1], scale[1])):
                true = cv2.GaussianBlur(truth(pixels, x + dx, y + dy, grid.extent, 48), (0, 0), 1.5)
                near.append(float(np.abs(true - blurred).mean()))
                if near[-1] < 4:
                    break
            assert near[-1] < 4, (target, row, near)


def attempt(path: Path, pixels: UInt8Array, targets: tuple[float, ...]) -> bool:
    """Whether the slide is read; what is read is right."""
    try:
        with open_slide(path) as slide:
            check(slide, pixels, targets)
    except SlideError:
        return False
    return True


def pyramid(pixels: UInt8Array, factors: tuple[int, ...], rounding: Callable[[float], int]) -> list[Image]:
    h, w = pixels.shape[:2]
    sizes = [(rounding(w / factor), rounding(h / factor)) for factor in factors]
    return [Image(resized(pixels, size), MPP * factor) for size, factor in zip(sizes, factors, strict=True)]


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(700, 1300), st.integers(500, 1000)),
    factors=st.sampled_from([(1, 2, 4), (1, 4), (1, 2, 4, 8), (1, 3)]),
    rounding=st.sampled_from([int, round, lambda value: -int(-value // 1)]),
    change=st.sampled_from(sorted(CHANGES)),
    place=st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_tiles_are_right_or_the_slide_is_refused(
    kind: str,
    size: Size,
    factors: tuple[int, ...],
    rounding: Callable[[float], int],
    change: str,
    place: int,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pixels = np.ascontiguousarray(LARGE[: size[1], : size[0]])
    images = pyramid(pixels, factors, rounding)
    place = 1 + place % (len(images) - 1)
    images[place] = CHANGES[change](images[place].pixels, MPP * factors[place], np.random.default_rng(seed))
    path = WRITERS[kind](tmp_path_factory.mktemp("level"), images)
    read = attempt(path, pixels, (0.5, 1.02, 2.05, 4.1))
    if change in ("none", "pixels of level 0, copied", "darker", "a mask") or (
        change.startswith("no word") and kind != "dicom"
    ):
        assert read, "a right pyramid is read"


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("change", CHANGES)
def test_each_way_of_being_wrong(kind: str, change: str, tmp_path: Path) -> None:
    pixels = np.ascontiguousarray(LARGE[:900, :1200])
    images = pyramid(pixels, (1, 2, 4), int)
    images[2] = CHANGES[change](images[2].pixels, MPP * 4, np.random.default_rng(1))
    attempt(WRITERS[kind](tmp_path, images), pixels, (2.05, 4.1))


@pytest.mark.parametrize("kind", ["generic", "aperio", "dicom"])
@pytest.mark.parametrize("dirt", [False, True])
@pytest.mark.parametrize("mpp", [2 * MPP, None])
@pytest.mark.parametrize("side", [1012, 1016])
def test_square_levels_with_a_little_padding(
    kind: str, dirt: bool, mpp: float | None, side: int, tmp_path: Path
) -> None:
    """1012 pixels become 506, padded to 512: by its sides the level would be off by 12 pixels of level 0."""
    pixels = np.full((side, side, 3), 244, np.uint8)
    pixels[450:, 450:] = 244 - (244 - he_pixels(side - 450, side - 450, seed=3)) // 2
    if dirt:  # much contrast where both scales agree
        rough = np.random.default_rng(0).random((12, 12)) > 0.5
        pixels[5:125, 5:125] = resized(rough.astype(np.uint8) * 230, (120, 120))[..., None]
    images = [Image(pixels, MPP), Image(padded(resized(pixels, (side // 2, side // 2))), mpp)]
    with open_slide(WRITERS[kind](tmp_path, images)) as slide:
        check(slide, pixels, (1.02,))
        if kind != "dicom" or mpp:
            assert slide.level_scales == [(1.0, 1.0), (2.0, 2.0)]
            assert slide.level_sizes[1] == (side // 2, side // 2)
