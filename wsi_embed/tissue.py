"""Which part of a slide is tissue: a mask on a low-resolution view."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.grid import Float32Array, TileGrid
from wsi_embed.regions import Regions
from wsi_embed.slide.base import Box, Slide, UInt8Array

RECIPES = ("otsu", "none")


@dataclass(frozen=True)
class TissueRecipe:
    """How the mask is made. Every number is part of a slide's settings fingerprint.

    Attributes:
        name: `otsu` (threshold on saturation) or `none` (everything is tissue).
        mask_mpp: Resolution of the view, um per pixel; never finer than level 0.
        max_px: Longest side of the view, pixels.
        blur_um: Standard deviation of the smoothing before the threshold.
        min_saturation: Floor of the threshold (0 to 255), so that empty glass stays empty.
        max_saturation: Ceiling of the threshold: where there is no glass in view, Otsu's method would
            cut pale tissue from dark.
        min_value: Darker pixels (0 to 255) have no meaningful saturation and count as background.
        close_um: Gaps narrower than this are closed.
        open_um: Specks narrower than this are removed.
    """

    name: str = "otsu"
    mask_mpp: float = 8.0
    max_px: int = 8192
    blur_um: float = 8.0
    min_saturation: int = 12
    max_saturation: int = 40
    min_value: int = 25
    close_um: float = 64.0
    open_um: float = 32.0

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise UsageError(f"--tissue {self.name}: no such recipe; choose {' or '.join(RECIPES)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for attributes and fingerprints."""
        return {"name": "none"} if self.name == "none" else asdict(self)


@dataclass(frozen=True)
class TissueMask:
    """A mask over the whole of level 0.

    Attributes:
        mask: True where there is tissue, bool [h, w].
        scale: Level-0 pixels per mask pixel, (x, y).
        note: What to tell the user about how it was found.
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
        table = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1))
        table[1:, 1:] = self.mask.cumsum(0).cumsum(1)
        corner = np.asarray(grid.level_xy * grid.downsample, np.float64)
        x0, y0 = corner[:, 0] / self.scale[0], corner[:, 1] / self.scale[1]
        w, h = grid.extent / self.scale[0], grid.extent / self.scale[1]
        x1, y1 = x0 + w, y0 + h
        tissue = _area(table, x1, y1) - _area(table, x0, y1) - _area(table, x1, y0) + _area(table, x0, y0)
        height, width = self.mask.shape
        inside = (np.minimum(x1, width) - np.maximum(x0, 0)) * (np.minimum(y1, height) - np.maximum(y0, 0))
        return np.asarray(np.clip(tissue / np.maximum(inside, 1e-9), 0, 1), np.float32)


def _area(
    table: npt.NDArray[np.float64], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
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
        SlideError: The slide cannot be read, or the regions leave nothing of it.
    """
    unreadable: list[Box] | None = [] if around_unreadable else None
    width, height = slide.level_sizes[0]
    longest = max(width, height)
    side = min(recipe.max_px, max(1, round(longest * mpp / recipe.mask_mpp)), longest)
    if recipe.name == "none":
        shape = (max(1, round(height * side / longest)), max(1, round(width * side / longest)))
        mask = np.ones(shape, np.bool_)
        scale = (width / shape[1], height / shape[0])
    else:
        view = slide.thumbnail(side, unreadable)
        scale = (width / view.shape[1], height / view.shape[0])
        mask = otsu_mask(view, recipe, mpp * scale[0])
        for x, y, w, h in unreadable or ():
            columns = slice(int(x / scale[0]), math.ceil((x + w) / scale[0]))
            mask[int(y / scale[1]) : math.ceil((y + h) / scale[1]), columns] = True
    if regions is not None:
        mask &= regions.mask((mask.shape[0], mask.shape[1]), scale)
    return TissueMask(mask, scale)


def otsu_mask(view: UInt8Array, recipe: TissueRecipe, view_mpp: float) -> npt.NDArray[np.bool_]:
    """Tissue of an RGB view, uint8 [h, w, 3], by Otsu's threshold on saturation.

    Otsu, "A threshold selection method from gray-level histograms", IEEE SMC 1979.

    Args:
        view: The low-resolution view.
        recipe: Numbers.
        view_mpp: Micrometres per pixel of the view.

    Returns:
        bool [h, w].
    """
    hsv = cv2.cvtColor(view, cv2.COLOR_RGB2HSV)
    saturation = np.where(hsv[..., 2] < recipe.min_value, 0, hsv[..., 1]).astype(np.uint8)
    sigma = recipe.blur_um / view_mpp
    if sigma > 0.3:
        saturation = np.asarray(cv2.GaussianBlur(saturation, (0, 0), sigma), np.uint8)
    threshold, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_OTSU)
    level = np.clip(threshold, recipe.min_saturation, recipe.max_saturation)
    mask = (saturation > level).astype(np.uint8)
    mask = _morph(mask, cv2.MORPH_CLOSE, recipe.close_um / view_mpp)
    mask = _morph(mask, cv2.MORPH_OPEN, recipe.open_um / view_mpp)
    return mask.astype(np.bool_)


def _morph(mask: UInt8Array, operation: int, diameter: float) -> UInt8Array:
    side = round(diameter) // 2 * 2 + 1
    if side < 3:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    # a replicated border: the default one (0 for close's erosion) would eat tissue at the edge
    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE)
    done = cv2.morphologyEx(padded, operation, kernel)
    return np.asarray(done[side:-side, side:-side], np.uint8)
