"""What is done with each annotation file: areas are read, chosen by class, filled and laid over tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.fuzz.annotations.areas import EXPECTED, SCALE, SHAPE, SIZE, Mask, check_mask
from tests.fuzz.case import Truth, check_message
from wsi_embed.errors import WsiEmbedError
from wsi_embed.grid import ReadPlan, make_grid
from wsi_embed.plot.annotations import draw_contours
from wsi_embed.plot.views import View
from wsi_embed.regions import RegionRules, read_annotations, read_regions, slide_annotations, tile_classes

BOUNDS = (0, 0, *SIZE)
GRID = make_grid(ReadPlan(0, 20, 20, 0.5), (1.0, 1.0), SIZE, BOUNDS)


def exercise(path: Path, truth: Truth) -> str:
    """Read the areas of a file and use them; see `tests.fuzz.slides.exercise_slide` for what is returned.

    Raises:
        WrongContentError: Other areas are taken than the file marks.
        BadMessageError: A message is no line of text.
        Exception: Anything but a WsiEmbedError is a find.
    """
    try:
        read_annotations(path)
    except WsiEmbedError as error:
        check_message(error)
        return "refused"
    outcomes = {_take(path, rules, expected, truth) for rules, expected in EXPECTED}
    outcomes.add(_lay(path))
    return next(name for name in ("partly", "read") if name in outcomes)


def _take(path: Path, rules: RegionRules, expected: Mask, truth: Truth) -> str:
    """Take the regions of a choice of classes."""
    try:
        regions = read_regions(path, rules).placed(SIZE, BOUNDS)
        for warning in regions.warnings:
            check_message(warning)
        found = regions.mask(SHAPE, (SCALE, SCALE))
    except WsiEmbedError as error:
        check_message(error)
        return "partly"
    if truth != "nothing":
        check_mask(found, expected)
    return "read"


def _lay(path: Path) -> str:
    """Lay the areas over tiles, and draw them."""
    try:
        polygons = slide_annotations(path, SIZE, BOUNDS).polygons
    except WsiEmbedError as error:
        check_message(error)
        return "partly"
    tile_classes(GRID, [polygons])
    picture = np.zeros((*SHAPE, 3), np.uint8)
    view = View(picture, (1 / SCALE, 1 / SCALE))
    draw_contours(picture, view, polygons, {p.label: (255, 0, 0) for p in polygons}, 1)
    return "read"
