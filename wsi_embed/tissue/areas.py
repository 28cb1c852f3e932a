"""Cleaning of a mask: gaps, specks, debris and holes by their size on the slide."""

from __future__ import annotations

import cv2
import numpy as np

from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.glass import BoolArray
from wsi_embed.tissue.recipe import TissueRecipe

# Maximum share of the view: on a small crop of a slide, pieces of tissue are small too.
LARGEST_DEBRIS = 0.01


def tidy(stained: BoolArray, recipe: TissueRecipe, mpp: float) -> BoolArray:
    """Form regions from stained pixels: close gaps, fill small holes, remove thin and small parts.

    Args:
        stained: Stained pixels, bool [h, w].
        recipe: Settings.
        mpp: Micrometres per pixel of the mask.

    Returns:
        bool [h, w].
    """
    pixel = mpp * mpp
    mask = drop_small(stained, recipe.open_um**2 / pixel)  # before the closing could join specks
    mask = close_gaps(mask, recipe.close_um / mpp)
    mask = fill_small(mask, recipe.max_hole_um2 / pixel)
    mask = remove_thin(mask, recipe.open_um / mpp)
    return drop_small(mask, min(recipe.min_area_um2 / pixel, LARGEST_DEBRIS * mask.size))


def close_gaps(mask: BoolArray, width: float) -> BoolArray:
    """Close the mask morphologically with a disc of a diameter of `width` pixels."""
    return shrink(grow(mask, width / 2), width / 2)


def remove_thin(mask: BoolArray, width: float) -> BoolArray:
    """Open the mask morphologically with a disc of a diameter of `width` pixels."""
    return grow(shrink(mask, width / 2), width / 2)


def grow(mask: BoolArray, radius: float) -> BoolArray:
    """Add the pixels within a distance of the mask."""
    if radius < 1:
        return mask
    return np.asarray(_distance(~mask) <= radius, np.bool_)


def shrink(mask: BoolArray, radius: float) -> BoolArray:
    """Remove the pixels within a distance of the background; the border of the view is no background."""
    return ~grow(~mask, radius)


def _distance(mask: BoolArray) -> np.ndarray:
    """Return the distance of each pixel of the mask from the nearest pixel outside it.

    Discs are applied by distance, because the costs do not depend on their size.
    """
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)


def drop_small(mask: BoolArray, area: float) -> BoolArray:
    """Remove connected pieces smaller than an area in pixels."""
    if area <= 1 or not mask.any():
        return mask
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_bytes(mask), connectivity=8)
    keep = stats[:count, cv2.CC_STAT_AREA] >= area
    keep[0] = False
    return np.asarray(keep[labels], np.bool_)


def fill_small(mask: BoolArray, area: float) -> BoolArray:
    """Fill holes smaller than an area in pixels. Background at the border of the view is no hole."""
    if area <= 0 or mask.all():
        return mask
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_bytes(~mask), connectivity=4)
    height, width = mask.shape
    left, top = stats[:count, cv2.CC_STAT_LEFT], stats[:count, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:count, cv2.CC_STAT_WIDTH], top + stats[:count, cv2.CC_STAT_HEIGHT]
    inner = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    fill = inner & (stats[:count, cv2.CC_STAT_AREA] < area)
    fill[0] = True  # label 0 is the mask itself
    return np.asarray(fill[labels], np.bool_)


def _bytes(mask: BoolArray) -> UInt8Array:
    return np.ascontiguousarray(mask).view(np.uint8)
