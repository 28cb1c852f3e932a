"""Detection of pen marks and edges of coverslips, which are dark or coloured but not tissue."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.areas import grow, remove_thin, shrink
from wsi_embed.tissue.glass import BoolArray, Float32Array, channel_range
from wsi_embed.tissue.recipe import TissueRecipe

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

# Ink is flat, tissue has structure: mean deviation of a pixel from its surroundings as a share of its
# darkness. Measured at 16 um per pixel: 0.01 to 0.02 in ink, at least 0.05 in tissue.
SMOOTHEST_TISSUE = 0.035
SMOOTH_SHARE = 0.25  # minimum smooth share of a stroke; the rest may be over tissue
THIN_PX = 18.0  # width below which a stroke is all edge, and is only compared with other pixels of the ink
SMOOTH_SHARE_THIN = 0.5  # minimum smooth share of such a thin stroke
THICK_SHARE = 0.25  # maximum share of a thin stroke that is wider, at turns or at the border of the view
EDGE_PX = 1.5  # width lost at the borders of a stroke, which cross pixels
LEAST_LENGTH = 3.0  # minimum length of a thin stroke in minimum widths; a shorter spot may be anything
PEN_MPP = 16.0  # resolution of the search for pen marks
MARGIN_UM = 16.0  # margin in which ink thins out
REACH_UM = 800.0  # maximum distance of paler or darker ink from certain ink
OVER_TISSUE = 80  # maximum brightness of ink on stained tissue
COLOURED = 10  # minimum chroma of coloured pixels
LINE_MPP = 32.0  # resolution of the search for lines
# Colours of ink: first and last hue, least saturation and value of certain pixels, and last hue and least
# saturation of those that count beside certain ones.
INKS = (
    (35, 95, 50, 60, 95, 20),  # green, cyan: no common stain
    (95, 118, 120, 60, 124, 70),  # blue, to where haematoxylin begins
    (118, 128, 205, 120, 128, 205),  # blue, too bright for haematoxylin of this saturation
    (172, 10, 190, 60, 10, 120),  # red, more saturated than eosin and blood
    (11, 22, 180, 180, 22, 110),  # orange, brighter than DAB of this saturation
)


def find_pen(balanced: UInt8Array, recipe: TissueRecipe, mpp: float) -> BoolArray:
    """Find strokes of green, blue, red, orange and black markers.

    Violet strokes are not found, because they have the colour of haematoxylin.

    Args:
        balanced: View divided by the colour of its glass, uint8 [h, w, 3].
        recipe: Settings.
        mpp: Micrometres per pixel of the view.

    Returns:
        bool [h, w].
    """
    factor = max(1, round(PEN_MPP / mpp))
    size = (-(-balanced.shape[1] // factor), -(-balanced.shape[0] // factor))
    small = np.asarray(cv2.resize(balanced, size, interpolation=cv2.INTER_AREA), np.uint8)
    pixel = mpp * balanced.shape[1] / size[0]
    found = np.zeros(small.shape[:2], np.bool_)
    dark = channel_range(small)[1] <= OVER_TISSUE
    width = recipe.pen_um / pixel
    for strong, weak in _inks(small):
        core = remove_thin(strong, max(width - EDGE_PX, 1.0))
        if core.any():
            core = _strokes(core, small, width)
            margin = max(MARGIN_UM / pixel, 1.0)
            found |= grow(core, margin) | (grow(core, REACH_UM / pixel) & (weak | dark))
    full = cv2.resize(found.view(np.uint8), balanced.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(full, np.bool_)


def ink_pixels(balanced: UInt8Array) -> BoolArray:
    """Find pixels that certainly have the colour of green, blue, red or orange ink, bool [h, w].

    Args:
        balanced: View divided by the colour of its glass, uint8 [h, w, 3].
    """
    hsv = cv2.cvtColor(balanced, cv2.COLOR_RGB2HSV)
    found = np.zeros(hsv.shape[:2], np.bool_)
    for ink in INKS:
        found |= _certain(hsv, ink)
    return found


def _inks(balanced: UInt8Array) -> Iterator[tuple[BoolArray, BoolArray]]:
    """Yield for every ink the pixels of certain colour, and those that count beside certain ones."""
    hsv = cv2.cvtColor(balanced, cv2.COLOR_RGB2HSV)
    for ink in INKS:
        first, _, _, _, last, saturation = ink
        yield _certain(hsv, ink), _between(hsv, first, last) & (hsv[..., 1] >= saturation)
    yield _black_ink(balanced)


def _certain(hsv: np.ndarray, ink: tuple[int, ...]) -> BoolArray:
    first, last, saturation, value, _, _ = ink
    return _between(hsv, first, last) & (hsv[..., 1] >= saturation) & (hsv[..., 2] >= value)


def _black_ink(balanced: UInt8Array) -> tuple[BoolArray, BoolArray]:
    low, high = channel_range(balanced)
    chroma = cv2.subtract(high, low)
    certain, beside = (np.asarray((high <= v) & (chroma <= (255 - high) * 0.25)) for v in (90, 170))
    return certain, beside


def _between(hsv: np.ndarray, first: int, last: int) -> BoolArray:
    hue = hsv[..., 0]
    if first <= last:
        return np.asarray((hue >= first) & (hue <= last), np.bool_)
    return np.asarray((hue >= first) | (hue <= last), np.bool_)


def _strokes(core: BoolArray, balanced: UInt8Array, width: float) -> BoolArray:
    """Return the connected pieces of a colour that are as smooth as ink.

    A wide piece of ink is smooth over glass, whereas tissue is smooth nowhere. In a thin piece the
    surroundings of every pixel reach beyond its border, so its pixels are only compared with each other.

    Args:
        core: Pieces at least `width` wide, bool [h, w].
        balanced: View divided by the colour of its glass, uint8 [h, w, 3].
        width: Minimum width of a stroke, pixels.

    Returns:
        bool [h, w].
    """
    grey = np.asarray(cv2.cvtColor(balanced, cv2.COLOR_RGB2GRAY), np.float32)
    count, found, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(core).view(np.uint8))
    labels = np.asarray(found, np.int32)
    smooth = _share(labels, core, _is_flat(grey), count) >= SMOOTH_SHARE
    unclear = ~smooth & (stats[:, cv2.CC_STAT_AREA] >= LEAST_LENGTH * width**2)
    smooth[0] = unclear[0] = False
    if unclear.any():
        left = np.asarray(unclear[labels], np.bool_)
        inner = shrink(left, 1.0)
        thin = _share(labels, left, remove_thin(left, THIN_PX), count) < THICK_SHARE
        smooth |= unclear & thin & (_share(labels, inner, _is_flat(grey, inner), count) >= SMOOTH_SHARE_THIN)
    return np.asarray(smooth[labels], np.bool_)


def _is_flat(grey: Float32Array, among: BoolArray | None = None) -> BoolArray:
    """Find pixels whose brightness deviates from the surroundings no more than in ink.

    Args:
        grey: Brightness, 0 to 255, float32 [h, w].
        among: Pixels that count as surroundings, bool [h, w]; None takes all.

    Returns:
        bool [h, w].
    """
    weight = np.ones_like(grey) if among is None else among.astype(np.float32)
    near = cv2.GaussianBlur(grey * weight, (0, 0), 2.0) / cv2.GaussianBlur(weight, (0, 0), 2.0).clip(1e-6)
    rough = cv2.blur(np.abs(grey - near) * weight, (9, 9))
    return np.asarray(rough <= SMOOTHEST_TISSUE * cv2.blur((255 - grey) * weight, (9, 9)), np.bool_)


def _share(labels: IntArray, where: BoolArray, what: BoolArray, count: int) -> Float64Array:
    """Return for every piece the share of its pixels in `where` that are in `what`; 0 if it has none."""
    at = labels[where]
    return np.asarray(np.bincount(at, what[where], count) / np.bincount(at, minlength=count).clip(1))


def find_edges(balanced: UInt8Array, recipe: TissueRecipe, mpp: float) -> BoolArray:
    """Find long, thin, straight lines of little colour: edges of coverslips and slides.

    Args:
        balanced: View divided by the colour of its glass, uint8 [h, w, 3].
        recipe: Settings.
        mpp: Micrometres per pixel of the view.

    Returns:
        bool [h, w].
    """
    low, high = channel_range(balanced)
    chroma, darkness = cv2.subtract(high, low), cv2.bitwise_not(high)
    # eosin hardly darkens the brightest channel and haematoxylin does a little; only grey darkens it more
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
    """Reduce a mask by a whole factor. One pixel in a block is enough, because lines are thinner than it."""
    spread = cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), np.ones((factor, factor), np.uint8))
    size = (-(-mask.shape[1] // factor), -(-mask.shape[0] // factor))
    return np.asarray(cv2.resize(spread, size, interpolation=cv2.INTER_NEAREST), np.bool_)
