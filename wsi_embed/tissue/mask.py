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
from wsi_embed.slide.base import Box, Slide, UInt8Array
from wsi_embed.tissue.areas import tidy
from wsi_embed.tissue.artefacts import find_edges, find_pen
from wsi_embed.tissue.glass import (
    NEUTRAL,
    BoolArray,
    chroma_of,
    divide,
    divide_local,
    find_glass,
    local_glass,
    padding,
    refuse_dark,
)
from wsi_embed.tissue.network import segment
from wsi_embed.tissue.recipe import TissueRecipe
from wsi_embed.tissue.threshold import by_chroma, by_hsv

# A scan of more than 4 mm with no glass in view: the mask is more likely wrong than the slide is a crop.
ALL_TISSUE, CROP_UM = 0.98, 4000.0
NOTED_PEN_MM2 = 0.5


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
    if recipe.name == "none":
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
    """Tissue of a low-resolution view by any recipe but `none`.

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
    if recipe.name == "model":
        return tidy(segment(view, recipe), recipe, view_mpp), None
    sigma = recipe.blur_um / view_mpp
    smooth = np.asarray(cv2.GaussianBlur(view, (0, 0), sigma), np.uint8) if sigma > 0.3 else view
    seen = ~padding(view)
    glass = find_glass(smooth)
    if glass is None:
        refuse_dark(view, recipe.dark)
    balanced = divide(smooth, glass or NEUTRAL)
    if recipe.name == "hsv":
        stained = by_hsv(smooth, seen, recipe)
    elif recipe.name == "otsu-local" and glass is not None:
        side = max(4, round(recipe.background_um / view_mpp))
        blocks = local_glass(smooth, glass, side, recipe.max_tint)
        balanced, chroma = divide_local(smooth, blocks, side)
        stained = by_chroma(chroma, balanced, seen, recipe, view_mpp)
    else:
        stained = by_chroma(chroma_of(balanced), balanced, seen, recipe, view_mpp)
    if recipe.edges:
        stained &= ~find_edges(balanced, recipe, view_mpp)
    pen = find_pen(balanced, recipe, view_mpp) if recipe.pen else np.zeros_like(stained)
    del smooth, balanced  # as large as the view
    mask = tidy(stained & ~pen, recipe, view_mpp) & ~pen
    return mask, _note(mask, pen, view_mpp)


def _note(mask: BoolArray, pen: BoolArray, view_mpp: float) -> str | None:
    notes = []
    if mask.mean() > ALL_TISSUE and min(mask.shape) * view_mpp > CROP_UM:
        notes.append(
            f"{100 * mask.mean():.0f} % of the slide counts as tissue: if there is glass in it, its colours "
            "are odd (look with `wsi-embed plot`; --tissue otsu-local may help)"
        )
    area = pen.sum() * (view_mpp / 1000) ** 2
    if area >= NOTED_PEN_MM2:
        notes.append(f"{area:.1f} mm2 of pen marks left out (--tissue-set pen=off keeps them)")
    return "; ".join(notes) or None
