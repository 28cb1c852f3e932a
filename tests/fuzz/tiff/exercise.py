"""What is done with each TIFF: everything that a job does with a slide, by both readers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from tests.fuzz.case import Truth, WrongContentError
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, make_grid
from wsi_embed.slide import Slide, UInt8Array, open_slide, resolve_mpp

SIDE = 40


def exercise(path: Path, truth: Truth = "nothing") -> str:
    """Open and read a file with both readers, which have to agree.

    Returns:
        Who could: `tiff` or `openslide` for all of it, `partly`, or `nobody`.

    Raises:
        WrongContentError: The readers give different pixels.
        Exception: Anything but a SlideError is a find.
    """
    try:
        slide = open_slide(path)
    except SlideError:
        return "nobody"
    with slide:
        if _refused(slide):
            return "nobody"
        complete = all([_look(slide), _read_levels(slide), _read_tiles(slide)])
        if slide.reader == "tiff":
            _compare(slide, path)
        return slide.reader if complete else "partly"


def _refused(slide: Slide) -> bool:
    """Return whether the slide is refused because its levels show different pictures."""
    try:
        slide.usable_levels()
    except SlideError as error:
        return error.what.startswith("its level 0 does not show")
    return False


def _look(slide: Slide) -> bool:
    with contextlib.suppress(SlideError):
        resolve_mpp(slide)
    try:
        slide.icc_profile()
        slide.thumbnail(50)
    except SlideError:
        slide.thumbnail(50, [])
        return False
    return True


def _places(size: tuple[int, int]) -> list[tuple[int, int]]:
    w, h = size
    return [(0, 0), (w // 2, h // 2), (w - SIDE, h - SIDE), (w - 3, -7)]


def _read_levels(slide: Slide) -> bool:
    complete = True
    for level, size in enumerate(slide.level_sizes):
        for place in _places(size):
            complete &= _pixels(slide, level, place) is not None
    return complete


def _pixels(slide: Slide, level: int, place: tuple[int, int]) -> UInt8Array | None:
    try:
        return slide.read(level, *place, SIDE, SIDE)
    except SlideError:
        return None


def _read_tiles(slide: Slide) -> bool:
    width, height = (min(side, 200) for side in slide.level_sizes[0])
    plan = ReadPlan(0, SIDE, 20, 1.0)
    grid = make_grid(plan, (1.0, 1.0), slide.level_sizes[0], (0, 0, width, height), edge="pad")
    out, complete = np.empty((20, 20, 3), np.uint8), True
    with slide.stream(grid) as tiles:
        for row in range(len(grid)):
            try:
                tiles.read(row, out)
            except SlideError:
                complete = False
    return complete


def _compare(slide: Slide, path: Path) -> None:
    try:
        other = open_slide(path, "openslide")
    except SlideError:  # which would give wrong colours
        assert slide.reader_decides
        return
    with other:
        for place in _places(slide.level_sizes[0]):
            ours, theirs = _pixels(slide, 0, place), _pixels(other, 0, place)
            if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
                raise WrongContentError(f"at {place} of level 0")
