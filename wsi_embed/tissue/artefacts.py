"""Pen marks and edges of coverslips: what is dark or coloured on a slide and no tissue."""

from __future__ import annotations

import cv2
import numpy as np

from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.areas import grow, remove_thin
from wsi_embed.tissue.glass import BoolArray, channel_range
from wsi_embed.tissue.recipe import TissueRecipe

# Ink lies flat on the glass, tissue has structure: mean deviation from a pixel's surroundings as a share
# of its darkness. Measured at 16 um per pixel: 0.01 to 0.02 in ink, 0.05 and more in tissue.
SMOOTHEST_TISSUE = 0.035
SMOOTH_SHARE = 0.25  # of a stroke, the rest may lie over tissue
PEN_MPP = 16.0  # pens are looked for at this resolution
MARGIN_UM = 16.0  # where ink thins out
REACH_UM = 800.0  # how far from certain ink its paler or darker parts are looked for
OVER_TISSUE = 80  # brightness of ink on stained tissue
COLOURED = 10  # chroma
LINE_MPP = 32.0  # lines are looked for at this resolution


def find_pen(balanced: UInt8Array, recipe: TissueRecipe, mpp: float) -> BoolArray:
    """Strokes of green, blue, red and black markers, bool [h, w].

    Violet ones have the colour of haematoxylin and stay.

    Args:
        balanced: The view divided by its glass, uint8 [h, w, 3].
        recipe: Numbers.
        mpp: Micrometres per pixel of the view.
    """
    factor = max(1, round(PEN_MPP / mpp))
    size = (-(-balanced.shape[1] // factor), -(-balanced.shape[0] // factor))
    small = np.asarray(cv2.resize(balanced, size, interpolation=cv2.INTER_AREA), np.uint8)
    pixel = mpp * balanced.shape[1] / size[0]
    found = np.zeros(small.shape[:2], np.bool_)
    dark = channel_range(small)[1] <= OVER_TISSUE
    for strong, weak in _inks(small):
        core = remove_thin(strong, recipe.pen_um / pixel)
        if core.any():
            core = _smooth_pieces(core, small)
            margin = max(MARGIN_UM / pixel, 1.0)
            found |= grow(core, margin) | (grow(core, REACH_UM / pixel) & (weak | dark))
    full = cv2.resize(found.view(np.uint8), balanced.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(full, np.bool_)


def _inks(balanced: UInt8Array) -> list[tuple[BoolArray, BoolArray]]:
    """For every ink: where its colour is certain, and where it is likely beside such a place."""
    hsv = cv2.cvtColor(balanced, cv2.COLOR_RGB2HSV)
    low, high = channel_range(balanced)
    inks = []
    for first, last, sure, maybe_last, maybe in (
        (35, 95, 50, 95, 20),  # green, cyan: no common stain
        (95, 118, 120, 124, 70),  # blue, to where haematoxylin begins
        (172, 10, 190, 10, 120),  # red, more saturated than eosin and blood
    ):
        certain = _between(hsv, first, last) & (hsv[..., 1] >= sure) & (high >= 60)
        inks.append((certain, _between(hsv, first, maybe_last) & (hsv[..., 1] >= maybe)))
    chroma = cv2.subtract(high, low)
    for_black = [np.asarray((high <= v) & (chroma <= (255 - high) * 0.25)) for v in (90, 170)]
    inks.append((for_black[0], for_black[1]))
    return inks


def _between(hsv: np.ndarray, first: int, last: int) -> BoolArray:
    hue = hsv[..., 0]
    if first <= last:
        return np.asarray((hue >= first) & (hue <= last), np.bool_)
    return np.asarray((hue >= first) | (hue <= last), np.bool_)


def _smooth_pieces(core: BoolArray, balanced: UInt8Array) -> BoolArray:
    """Those connected pieces that are smooth in places: ink over glass is, tissue is nowhere."""
    grey = np.asarray(cv2.cvtColor(balanced, cv2.COLOR_RGB2GRAY), np.uint8)
    rough = cv2.blur(cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 2.0)).astype(np.float32), (9, 9))
    flat = rough <= SMOOTHEST_TISSUE * cv2.blur((255 - grey).astype(np.float32), (9, 9))
    count, labels = cv2.connectedComponents(np.ascontiguousarray(core).view(np.uint8))
    at = labels[core]
    smooth = np.bincount(at, flat[core], count) >= SMOOTH_SHARE * np.bincount(at, minlength=count)
    smooth[0] = False
    return np.asarray(smooth[labels], np.bool_)


def find_edges(balanced: UInt8Array, recipe: TissueRecipe, mpp: float) -> BoolArray:
    """Long, thin, straight lines of little colour: edges of coverslips and slides, bool [h, w].

    Args:
        balanced: The view divided by its glass, uint8 [h, w, 3].
        recipe: Numbers.
        mpp: Micrometres per pixel of the view.
    """
    low, high = channel_range(balanced)
    chroma, darkness = cv2.subtract(high, low), cv2.bitwise_not(high)
    # eosin hardly takes from the brightest channel, haematoxylin a little: only grey has more darkness
    greyish = np.asarray((darkness >= 8) & (chroma <= darkness // 2), np.bool_)
    factor = max(1, round(LINE_MPP / mpp))
    small, around = _any_of(greyish, factor), _any_of(greyish | (chroma > COLOURED), factor)
    thin = small & ~remove_thin(around, 5)
    length = max(10, round(recipe.edge_um / (mpp * factor)))
    lines = cv2.HoughLinesP(
        thin.astype(np.uint8),
        1,
        np.pi / 360,
        round(0.7 * length),
        minLineLength=length,
        maxLineGap=length // 8,
    )
    drawn = np.zeros(small.shape, np.uint8)
    for x0, y0, x1, y1 in np.reshape(np.zeros(0, np.int32) if lines is None else lines, (-1, 4)).tolist():
        cv2.line(drawn, (int(x0), int(y0)), (int(x1), int(y1)), 1, 3)
    near = cv2.resize(drawn, greyish.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    most = cv2.LUT(darkness, (1.5 * np.arange(256).clip(8)).clip(0, 255).astype(np.uint8))
    return near & (chroma <= most)


def _any_of(mask: BoolArray, factor: int) -> BoolArray:
    """A mask reduced by a whole factor; one pixel of a block is enough, for lines are thinner than it."""
    spread = cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), np.ones((factor, factor), np.uint8))
    size = (-(-mask.shape[1] // factor), -(-mask.shape[0] // factor))
    return np.asarray(cv2.resize(spread, size, interpolation=cv2.INTER_NEAREST), np.bool_)
