"""Detection of the stained pixels of a view."""

from __future__ import annotations

import cv2
import numpy as np

from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.glass import BoolArray, channel_range
from wsi_embed.tissue.recipe import TissueRecipe

BRIGHT = 225  # minimum of the darkest channel of bright pixels, relative to glass of 255
MOST_NOISE = 20.0
LEAK_UM = 16.0  # distance to which strong colour leaks


def by_chroma(
    chroma: UInt8Array, balanced: UInt8Array, seen: BoolArray, recipe: TissueRecipe, mpp: float
) -> BoolArray:
    """Find stained pixels by Otsu's threshold on chroma, between a lower and an upper limit.

    A dye absorbs some colours more than others, so it has chroma however thin it is; shadows, dust, edges and
    steps in brightness have none. Otsu, "A threshold selection method from gray-level histograms", IEEE SMC
    1979, separates the two largest groups. Beside dark tissue it would miss faint tissue, hence the upper
    limit. The lower limit is above the noise of the glass of this slide.

    Args:
        chroma: Chroma relative to the glass, uint8 [h, w].
        balanced: View divided by the colour of its glass, uint8 [h, w, 3].
        seen: Scanned pixels, bool [h, w]; the others are ignored.
        recipe: Settings.
        mpp: Micrometres per pixel of the view.

    Returns:
        bool [h, w].
    """
    low, high = channel_range(balanced)
    sample = chroma[seen]
    otsu = cv2.threshold(sample, 0, 255, cv2.THRESH_OTSU)[0] if len(sample) else 0.0
    floor = max(recipe.min_chroma, _glass_noise(chroma, low))
    level = max(floor, min(otsu, recipe.max_chroma))
    darkness = cv2.LUT(high, np.floor(recipe.grey * (255 - np.arange(256))).astype(np.uint8))
    # JPEG stores colour at half the resolution, so strong colour leaks into the glass around it
    side = 2 * int(LEAK_UM / mpp) + 1
    around = cv2.dilate(chroma, np.ones((side, side), np.uint8)) if side > 1 else np.zeros_like(chroma)
    leak = cv2.LUT(around, np.floor(recipe.leak * np.arange(256)).astype(np.uint8))
    needed = cv2.max(cv2.max(darkness, leak), np.full_like(chroma, int(level)))
    return np.asarray((chroma > needed) & seen, np.bool_)


def _glass_noise(chroma: UInt8Array, low: UInt8Array) -> float:
    """Estimate the maximum chroma of glass: its median plus four robust standard deviations."""
    glass = chroma[::3, ::3][(low[::3, ::3] >= BRIGHT) & (chroma[::3, ::3] <= MOST_NOISE)]
    if not len(glass):
        return 0.0
    median = float(np.median(glass))
    return min(MOST_NOISE, median + 4 * 1.4826 * float(np.median(np.abs(glass - median))))


def by_hsv(view: UInt8Array, seen: BoolArray, recipe: TissueRecipe) -> BoolArray:
    """Find pixels within fixed limits of hue, saturation and value, independent of the slide.

    Args:
        view: RGB as scanned, uint8 [h, w, 3].
        seen: Scanned pixels, bool [h, w]; the others are ignored.
        recipe: Settings.

    Returns:
        bool [h, w].
    """
    hsv = cv2.cvtColor(view, cv2.COLOR_RGB2HSV)
    degrees = np.arange(256) * 2  # OpenCV counts hue in steps of two degrees
    inside = (degrees >= recipe.hue_from, degrees <= recipe.hue_to)
    hues = inside[0] & inside[1] if recipe.hue_from <= recipe.hue_to else inside[0] | inside[1]
    steps = np.arange(256)
    tables = (hues, steps >= recipe.min_saturation, (steps >= recipe.min_value) & (steps <= recipe.max_value))
    found = cv2.LUT(hsv, np.stack(tables, axis=1).astype(np.uint8)[None])
    return np.asarray(channel_range(np.asarray(found, np.uint8))[0].astype(np.bool_) & seen, np.bool_)
