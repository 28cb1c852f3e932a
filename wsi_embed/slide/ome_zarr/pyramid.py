"""Levels of an OME-Zarr: which of its arrays show what level 0 shows, and at which scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import LevelsState, UInt8Array
from wsi_embed.slide.levels.choice import LevelImage, factor_range
from wsi_embed.slide.levels.missing_tiles import leave_out_lacking
from wsi_embed.slide.levels.settle import believed_levels
from wsi_embed.slide.levels.settled import Settled
from wsi_embed.slide.ome_zarr.files import ZarrFiles
from wsi_embed.slide.ome_zarr.level import ZarrLevel
from wsi_embed.slide.ome_zarr.metadata import Dataset, Multiscale, parse_multiscale
from wsi_embed.slide.ome_zarr.series import Series, find_series
from wsi_embed.slide.roles import role_in
from wsi_embed.slide.tiff.precheck import MOST_PIXELS_A_BYTE

# Positions of levels, pixels of the level, that differ by less are equal.
BESIDE = 0.5


@dataclass
class Pyramid:
    """Levels of a slide.

    Attributes:
        levels: The levels, level 0 first.
        sizes: (width, height) of each level, pixels.
        scales: Level-0 pixels per pixel of each level, (x, y).
        mpp: Micrometres per pixel of level 0, (x, y); None if unknown.
        state: State of the levels; see `Slide.levels_state`.
        incomplete: Whether arrays were left out.
        left_out: Images that are not levels, each with the reason.
        warnings: Warnings for the user.
    """

    levels: list[ZarrLevel]
    sizes: list[tuple[int, int]]
    scales: list[tuple[float, float]]
    mpp: tuple[float, float] | None
    state: LevelsState
    incomplete: bool
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def open_pyramid(files: ZarrFiles) -> Pyramid:
    """Open the levels of the slide in an OME-Zarr.

    Raises:
        SlideError: If there is no image of RGB with 8 bits, or its metadata are invalid.
        OSError: If a file cannot be read.
    """
    series = find_series(files)
    multiscale = parse_multiscale(files.attributes(series.first))
    if role := role_in(multiscale.name):
        raise SlideError(f"its first image is called {role}", remedy="name the image of the slide in it")
    levels, left_out, warnings = _open_levels(files, series.first, multiscale)
    _check_content(levels[0][1])
    settled = _settle(files.path, levels)
    _further_images(files, series, levels[0][1].size, left_out, warnings)
    if multiscale.more:
        left_out.append(f"{multiscale.more} further `multiscales` of the same image")
    return Pyramid(
        [levels[number][1] for number in settled.numbers],
        settled.sizes,
        settled.scales,
        multiscale.mpp,
        settled.state,
        len(settled.numbers) < len(multiscale.datasets),
        left_out + settled.left_out,
        warnings + settled.warnings,
    )


Levels = list[tuple[Dataset, ZarrLevel]]


def _open_levels(files: ZarrFiles, group: str, multiscale: Multiscale) -> tuple[Levels, list[str], list[str]]:
    """Open the arrays of an image, largest first; one that cannot be opened is left out, except level 0."""
    levels: Levels = []
    left_out, warnings = list[str](), list[str]()
    for number, dataset in enumerate(multiscale.datasets):
        path = f"{group}/{dataset.path}" if group else dataset.path
        try:
            level = ZarrLevel(files, path, multiscale.axes)
        except SlideError as error:
            if not number:
                raise
            left_out.append(f"level {number}: {error.at(path) if error.where is None else error}")
            warnings.append(f"{files.path.name}: level {number} is not read: {error.what}")
            continue
        beside = _beside(multiscale.datasets[0], dataset)
        if number and beside >= BESIDE:
            size = "{} x {}".format(*level.size)
            left_out.append(f"level {number} ({size}): it begins {beside:.4g} of its pixels beside level 0")
            continue
        levels.append((dataset, level))
    if any(level.size[0] > levels[0][1].size[0] for _, level in levels):
        raise SlideError("its first level is not the largest", remedy="list its `datasets` by size")
    return sorted(levels, key=lambda each: -each[1].size[0]), left_out, warnings


def _beside(first: Dataset, level: Dataset) -> float:
    """Return how far a level begins beside level 0, pixels of the level.

    A translation is that of the first pixel's centre, half a pixel from the corner. Many programs write none,
    so that the centres of the first pixels coincide; both are equal here.
    """
    apart = []
    for whole, part, start, at in zip(first.scale, level.scale, first.offset, level.offset, strict=True):
        moved, centred = at - start, (part - whole) / 2
        apart.append(max(moved - max(0.0, centred), min(0.0, centred) - moved, 0.0) / part)
    return max(apart)


def _check_content(level: ZarrLevel) -> None:
    """Check that level 0 is not declared far larger than its files can hold."""
    stored, (width, height) = int(level.stored.sizes.sum()), level.size
    if width * height > MOST_PIXELS_A_BYTE * stored:
        raise SlideError(
            f"its level 0 has {width} x {height} pixels, and {stored} bytes of chunks",
            remedy="is it complete? copy it again",
        )


def _settle(path: Path, levels: Levels) -> Settled:
    opened = [level for _, level in levels]
    images = [
        LevelImage(f"level {number}", level.size, mpp=dataset.scale)
        for number, (dataset, level) in enumerate(levels)
    ]

    def read(number: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        return opened[number].read(x, y, w, h)

    settled = believed_levels(images, read)
    first = levels[0][0].scale
    for place, number in enumerate(settled.numbers):
        dataset, level = levels[number]
        scale = dataset.scale[0] / first[0], dataset.scale[1] / first[1]
        low, high = factor_range(opened[0].size, level.size)
        if number and all(low <= factor <= high for factor in scale):
            settled.scales[place] = scale  # sides are rounded, and the stated scale is exact
    fill = f"the fill value ({opened[0].fill})"
    leave_out_lacking(settled, lambda number: opened[number].stored, read, path, fill)
    return settled


def _further_images(
    files: ZarrFiles, series: Series, size: tuple[int, int], left_out: list[str], warnings: list[str]
) -> None:
    """Name the images that are not read: labels, macro images, further slides.

    Raises:
        SlideError: If one is larger than the first, so that it is not clear which is the slide.
    """
    for name in series.others:
        try:
            multiscale = parse_multiscale(files.attributes(name))
            width, height = ZarrLevel(files, f"{name}/{multiscale.datasets[0].path}", multiscale.axes).size
        except SlideError as error:
            left_out.append(f"image {name}: {error.what}")
            continue
        times = f"image {name} ({width} x {height})"
        left_out.append(f"{times}: another image")
        if width * height > size[0] * size[1]:
            raise SlideError(
                f"its {times} is larger than its first ({size[0]} x {size[1]})",
                remedy=f"name the image of the slide, such as {files.path.name}/{name}",
            )
        if 2 * width * height > size[0] * size[1]:
            warnings.append(
                f"{files.path.name}: holds another picture, {times}, which is not read; name it as "
                f"{files.path.name}/{name}"
            )
