"""The tissue mask of a slide, and how much of a tile it covers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError
from wsi_embed.grid import Float32Array, TileGrid
from wsi_embed.regions import Regions
from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.overview import Box
from wsi_embed.tissue.glass import BoolArray
from wsi_embed.tissue.recipe import RECIPES, TissueRecipe


@dataclass(frozen=True)
class TissueMask:
    """A mask over the whole of level 0.

    Attributes:
        mask: True where there is tissue, bool [h, w].
        scale: Level-0 pixels per mask pixel, (x, y).
        note: What the user should look at; None if nothing.
    """

    mask: npt.NDArray[np.bool_]
    scale: tuple[float, float]
    note: str | None = None

    @property
    def fraction(self) -> float:
        """Share of the slide that is tissue."""
        return float(self.mask.mean())

    def coverage(self, grid: TileGrid) -> Float32Array:
        """Share of each tile that is tissue, exact to fractions of a mask pixel, float32 [N].

        Of a tile that sticks out of the slide, the part inside counts.
        """
        table = np.asarray(cv2.integral(np.ascontiguousarray(self.mask).view(np.uint8)), np.int32)
        corner = grid.level_xy * np.array(grid.scale)
        x0, y0 = corner[:, 0] / self.scale[0], corner[:, 1] / self.scale[1]
        w, h = (grid.read_px * a / b for a, b in zip(grid.scale, self.scale, strict=True))
        x1, y1 = x0 + w, y0 + h
        tissue = _area(table, x1, y1) - _area(table, x0, y1) - _area(table, x1, y0) + _area(table, x0, y0)
        height, width = self.mask.shape
        inside = (np.minimum(x1, width) - np.maximum(x0, 0)) * (np.minimum(y1, height) - np.maximum(y0, 0))
        return np.asarray(np.clip(tissue / np.maximum(inside, 1e-9), 0, 1), np.float32)


def _area(
    table: npt.NDArray[np.int32], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Tissue area left of and above (x, y): bilinear in the summed-area table, which is exact."""
    x, y = np.clip(x, 0, table.shape[1] - 1), np.clip(y, 0, table.shape[0] - 1)
    i, j = np.minimum(y.astype(int), table.shape[0] - 2), np.minimum(x.astype(int), table.shape[1] - 2)
    fy, fx = y - i, x - j
    top = table[i, j] * (1 - fx) + table[i, j + 1] * fx
    bottom = table[i + 1, j] * (1 - fx) + table[i + 1, j + 1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)


def tissue_mask(
    slide: Slide,
    mpp: float,
    recipe: TissueRecipe,
    regions: Regions | None = None,
    *,
    around_unreadable: bool = False,
) -> TissueMask:
    """Find the tissue of a slide.

    Args:
        slide: An open slide.
        mpp: Micrometres per pixel of its level 0.
        recipe: How.
        regions: Where given, only what lies inside them counts.
        around_unreadable: Go on where the slide cannot be decoded. Such places count as tissue, so that
            their tiles are not left out silently.

    Raises:
        SlideError: The slide cannot be read, is no stained slide on glass, or its regions lie elsewhere.
        ModelError: The recipe's network is not at hand.
    """
    width, height = slide.level_sizes[0]
    longest = max(width, height)
    side = min(recipe.max_px, max(1, round(longest * mpp / recipe.mask_mpp)), longest)
    note, unreadable = None, list[Box]()
    if not recipe.used:  # nothing is looked at, so nothing is read
        shape = (max(1, round(height * side / longest)), max(1, round(width * side / longest)))
        mask = np.ones(shape, np.bool_)
    else:
        view = slide.thumbnail(side, unreadable if around_unreadable else None)
        try:
            mask, note = find_tissue(view, recipe, mpp * width / view.shape[1])
        except SlideError as error:
            raise type(error)(f"{slide.path.name}: {error}") from error
    scale = (width / mask.shape[1], height / mask.shape[0])
    for x, y, w, h in unreadable:
        columns = slice(int(x / scale[0]), math.ceil((x + w) / scale[0]))
        mask[int(y / scale[1]) : math.ceil((y + h) / scale[1]), columns] = True
    if regions is not None:
        mask = mask & regions.mask((mask.shape[0], mask.shape[1]), scale)
    return TissueMask(mask, scale, note)


def find_tissue(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> tuple[BoolArray, str | None]:
    """Find the tissue of a low-resolution view.

    Args:
        view: RGB, uint8 [h, w, 3].
        recipe: How.
        view_mpp: Micrometres per pixel of the view.

    Returns:
        The mask, bool [h, w], and what the user should look at.

    Raises:
        SlideError: The view is no stained slide on glass.
        ModelError: The recipe's network is not at hand.
    """
    return RECIPES.get(recipe.name)(view, recipe, view_mpp)
