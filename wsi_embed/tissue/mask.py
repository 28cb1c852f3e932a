"""The tissue mask of a slide, and its coverage of tiles."""

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
from wsi_embed.tissue.glass import BoolArray, Colour, find_glass, glass_like
from wsi_embed.tissue.recipe import RECIPES, TissueRecipe

# Smallest share of a nearly empty tile that looks like glass.
NEARLY = 0.95
# Number of pixels of a view in which the colour of the glass is looked for.
GLASS_SAMPLE = 250_000
# Number of tiles whose shares are computed together.
BLOCK = 1_000_000


@dataclass(frozen=True)
class TissueMask:
    """Tissue mask over the whole of level 0.

    Attributes:
        mask: True for tissue, bool [h, w].
        scale: Level-0 pixels per mask pixel, (x, y).
        note: Note about a possible problem; None if there is none.
        empty: True where the slide is as bright and smooth as glass, bool [h, w]; None if unknown.
        glass: Colour of the glass; None if there is none in view, or it was not looked for.
    """

    mask: npt.NDArray[np.bool_]
    scale: tuple[float, float]
    note: str | None = None
    empty: npt.NDArray[np.bool_] | None = None
    glass: Colour | None = None

    @property
    def fraction(self) -> float:
        """Share of the slide that is tissue."""
        return float(self.mask.mean())

    def coverage(self, grid: TileGrid) -> Float32Array:
        """Compute the share of tissue of each tile, float32 [N], exact to fractions of a mask pixel.

        For tiles that extend beyond the slide, only the part inside counts.
        """
        return self._share(self.mask, grid.level_xy, grid)

    def near_empty(self, grid: TileGrid) -> float | None:
        """Compute the share of tiles that look like glass nearly everywhere; None if it is not known."""
        if self.empty is None or not len(grid):
            return None
        return round(float((self._share(self.empty, grid.level_xy, grid) >= NEARLY).mean()), 4)

    def _share(
        self, mask: npt.NDArray[np.bool_], level_xy: npt.NDArray[np.integer], grid: TileGrid
    ) -> Float32Array:
        """Compute the share of each tile that is true in a mask of this one's shape, float32 [N]."""
        table = np.asarray(cv2.integral(np.ascontiguousarray(mask).view(np.uint8)), np.int32)
        parts = (level_xy[start : start + BLOCK] for start in range(0, max(1, len(level_xy)), BLOCK))
        return np.concatenate([self._block(table, mask.shape, part, grid) for part in parts])

    def _block(
        self,
        table: npt.NDArray[np.int32],
        shape: tuple[int, ...],
        level_xy: npt.NDArray[np.integer],
        grid: TileGrid,
    ) -> Float32Array:
        """Compute the shares of some tiles from the integral image of a mask."""
        corner = level_xy * np.array(grid.scale)
        x0, y0 = corner[:, 0] / self.scale[0], corner[:, 1] / self.scale[1]
        w, h = (grid.read_px * a / b for a, b in zip(grid.scale, self.scale, strict=True))
        x1, y1 = x0 + w, y0 + h
        tissue = _area(table, x1, y1) - _area(table, x0, y1) - _area(table, x1, y0) + _area(table, x0, y0)
        height, width = shape
        inside = (np.minimum(x1, width) - np.maximum(x0, 0)) * (np.minimum(y1, height) - np.maximum(y0, 0))
        return np.asarray(np.clip(tissue / np.maximum(inside, 1e-9), 0, 1), np.float32)


def _area(
    table: npt.NDArray[np.int32], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the tissue area left of and above (x, y), by bilinear (exact) lookup in the integral image."""
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
        slide: Open slide.
        mpp: Micrometres per pixel of level 0.
        recipe: Recipe of the mask.
        regions: Regions that limit the mask; None for no limit.
        around_unreadable: Whether to continue if parts of the slide cannot be decoded. Such parts count as
            tissue, so that their tiles are not left out silently.

    Raises:
        SlideError: If the slide cannot be read, is not a stained slide on glass, or its regions lie outside.
        ModelError: If the file of the recipe's network is not available.

    Example:
        >>> from wsi_embed import open_slide
        >>> from wsi_embed.tissue import parse_recipe, tissue_mask
        >>> with open_slide("slides/a.tiff") as slide:
        ...     found = tissue_mask(slide, 0.5, parse_recipe("otsu"))
        >>> 0 < found.fraction < 1
        True
    """
    width, height = slide.level_sizes[0]
    longest = max(width, height)
    side = min(recipe.max_px, max(1, round(longest * mpp / recipe.mask_mpp)), longest)
    note, empty, glass, unreadable = None, None, None, list[Box]()
    if not recipe.used:  # the recipe `none` needs no view
        shape = (max(1, round(height * side / longest)), max(1, round(width * side / longest)))
        mask = np.ones(shape, np.bool_)
    else:
        view = slide.thumbnail(side, unreadable if around_unreadable else None)
        try:
            mask, note = find_tissue(view, recipe, mpp * width / view.shape[1])
            step = max(1, math.ceil(math.sqrt(view.shape[0] * view.shape[1] / GLASS_SAMPLE)))
            empty, glass = glass_like(view), find_glass(view[::step, ::step])
        except SlideError as error:
            raise error.at(slide.path.name) from error
    scale = (width / mask.shape[1], height / mask.shape[0])
    for x, y, w, h in unreadable:
        columns = slice(int(x / scale[0]), math.ceil((x + w) / scale[0]))
        mask[int(y / scale[1]) : math.ceil((y + h) / scale[1]), columns] = True
    if regions is not None:
        mask = mask & regions.mask((mask.shape[0], mask.shape[1]), scale)
    return TissueMask(mask, scale, note, empty, glass)


def find_tissue(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> tuple[BoolArray, str | None]:
    """Find the tissue of a low-resolution view.

    Args:
        view: RGB, uint8 [h, w, 3].
        recipe: Recipe of the mask.
        view_mpp: Micrometres per pixel of the view.

    Returns:
        The mask, bool [h, w], and a note about a possible problem or None.

    Raises:
        SlideError: If the view does not show a stained slide on glass.
        ModelError: If the file of the recipe's network is not available.
    """
    return RECIPES.get(recipe.name)(view, recipe, view_mpp)
