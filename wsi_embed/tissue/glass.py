"""The glass of a slide: its colour, division by it, and views without glass."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import UInt8Array

BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

SAMPLE = 1_000_000  # number of pixels from which the colour of the glass is estimated
DARKEST_GLASS = 150  # minimum of the darkest channel of glass
MOST_TINT = 45  # maximum chroma of glass, that of yellowed mounting medium
SMOOTHEST = 3.0  # maximum standard deviation of glass, after smoothing
LEAST_SHARE = 0.005  # minimum share of the view that is glass
BAND = 512  # rows of a view that are looked at together
BLACK = 12  # after JPEG and resampling, black padding is not quite black
NEUTRAL = (243.0, 243.0, 243.0)  # typical glass, for views without glass


def padding(view: UInt8Array) -> BoolArray:
    """Find padding: pixels that are exactly white, or black, bool [h, w]."""
    low, high = channel_range(view)
    return np.asarray((low == 255) | (high <= BLACK), np.bool_)


def channel_range(view: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Return the smallest and largest channel of each pixel, uint8 [h, w] each."""
    r, g, b = cv2.split(view)
    low, high = cv2.min(cv2.min(r, g), b), cv2.max(cv2.max(r, g), b)
    return np.asarray(low, np.uint8), np.asarray(high, np.uint8)


def find_glass(view: UInt8Array) -> Colour | None:
    """Find the colour of the glass: the brightest frequent colour of smooth, bright, nearly grey pixels.

    Args:
        view: RGB, uint8 [h, w, 3].

    Returns:
        (r, g, b), or None if there is no glass in view.
    """
    step = max(1, int(np.ceil(np.sqrt(view.shape[0] * view.shape[1] / SAMPLE))))
    smooth = _smooth(view)[::step, ::step]
    sample = view[::step, ::step]
    unscanned = padding(sample)
    low, high = (c.astype(np.int16) for c in channel_range(sample))
    usable = smooth & ~unscanned & (low >= DARKEST_GLASS) & (high - low <= MOST_TINT)
    pixels = sample[usable]
    if len(pixels) < LEAST_SHARE * max(1, int((~unscanned).sum())) or not len(pixels):
        white = (low == 255).mean() >= LEAST_SHARE  # cameras that clip show glass as white
        return (255.0, 255.0, 255.0) if white else None
    bright = pixels.astype(np.int32).sum(1) // 3
    counts = np.convolve(np.bincount(bright, minlength=256), np.ones(9), "same")
    last = int(np.flatnonzero(counts >= counts.max() / 4)[-1])  # on the bright side of the brightest peak
    start = max(0, last - 8)
    peak = start + int(np.argmax(counts[start : last + 1]))
    r, g, b = np.median(pixels[np.abs(bright - peak) <= 6], axis=0).tolist()
    return r, g, b


def _smooth(view: UInt8Array) -> BoolArray:
    """Find pixels whose 5 x 5 surroundings hardly vary."""
    green = np.ascontiguousarray(view[..., 1]).astype(np.float32)
    mean = np.asarray(cv2.blur(green, (5, 5)), np.float32)
    variance = np.asarray(cv2.blur(np.square(green, out=green), (5, 5)), np.float32)
    variance -= np.square(mean, out=mean)  # in place: views are large
    return variance <= SMOOTHEST**2


def glass_like(view: UInt8Array) -> BoolArray:
    """Find pixels that are as bright and smooth as glass, of any tint, bool [h, w]."""
    found = np.empty(view.shape[:2], np.bool_)
    for top in range(0, len(view), BAND):  # in bands: views are large
        above, below = max(0, top - 2), top + BAND + 2
        smooth = _smooth(view[above:below])[top - above :][:BAND]
        low, _ = channel_range(view[top : top + BAND])
        found[top : top + BAND] = smooth & (low >= DARKEST_GLASS)
    return found


def divide(view: UInt8Array, glass: Colour) -> UInt8Array:
    """Divide a view by the colour of its glass, scaled to 0 to 255; values above the glass are clipped.

    Args:
        view: RGB, uint8 [h, w, 3].
        glass: Colour of the glass.
    """
    levels = np.arange(256)[:, None] * 255 / np.asarray(glass)[None]
    table = np.rint(levels.clip(0, 255)).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(view, table), np.uint8)


def refuse_dark(view: UInt8Array, dark: int) -> None:
    """Refuse fluorescence and dark field: no glass, a near-black background, and little light.

    Args:
        view: RGB, uint8 [h, w, 3], in which no glass was found.
        dark: Median brightness below which a view counts as dark; 0 accepts every view.

    Raises:
        SlideError: If the view is dark.
    """
    light = np.asarray(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), np.uint8)
    lit = light[light > 0]
    typical = float(np.median(lit)) if len(lit) else 0.0
    if typical < dark and (light < dark / 2).mean() > 0.25:
        raise SlideError(
            f"no glass in view and a typical brightness of {typical:.0f} of 255: it looks like "
            "fluorescence or dark field, which no recipe but `none` is made for",
            remedy="leave it out, or use `tissue='none'` to take it whole",
        )


def chroma_of(balanced: UInt8Array) -> UInt8Array:
    """Return the chroma: largest minus smallest channel, uint8 [h, w]."""
    low, high = channel_range(balanced)
    return np.asarray(cv2.subtract(high, low), np.uint8)


def local_glass(view: UInt8Array, glass: Colour, side: int, max_tint: float) -> Float32Array:
    """Estimate the colour of the glass in every block.

    A block shows only glass if it is smooth, bright, and not more tinted than `max_tint`. Other blocks get
    the mean colour of their neighbours.

    Args:
        view: RGB, uint8 [h, w, 3].
        glass: Colour of the glass of the slide.
        side: Side of a block, pixels.
        max_tint: Maximum chroma of the glass of a block after division by that of the slide.

    Returns:
        float32 [rows, cols, 3].
    """
    height, width = view.shape[:2]
    rows, cols = -(-height // side), -(-width // side)
    edge = ((0, rows * side - height), (0, cols * side - width), (0, 0))
    blocks = np.pad(view, edge, "edge").reshape(rows, side, cols, side, 3)
    step = max(1, side // 8)
    blocks = blocks[:, ::step, :, ::step].transpose(0, 2, 1, 3, 4).reshape(rows, cols, -1, 3)
    ordered = np.sort(blocks, axis=2).astype(np.float32)
    low, middle, high = (ordered[:, :, int(q * ordered.shape[2])] for q in (0.1, 0.5, 0.9))
    share = middle / np.asarray(glass, np.float32) * 255
    tint = share.max(2) - share.min(2)
    spread = (high - low).max(2)
    usable = (tint <= max_tint) & (share.mean(2) > 0.7 * 255)
    usable &= (spread <= max(5.0, 1.25 * float(np.percentile(spread, 10)))) & (middle.min(2) < 255)
    return _fill(middle, usable, glass)


def divide_local(view: UInt8Array, blocks: Float32Array, side: int) -> tuple[UInt8Array, UInt8Array]:
    """Divide a view by the glass of its blocks, and compute its chroma relative to near glass.

    At a step between two fields of view, glass has the colour of one of them. A pixel is therefore only
    tissue if it has chroma relative to the glass of its own and of all adjacent blocks.

    Args:
        view: RGB, uint8 [h, w, 3].
        blocks: Colour of the glass of every block, float32 [rows, cols, 3].
        side: Side of a block, pixels.

    Returns:
        The divided view, uint8 [h, w, 3], and the minimum chroma over own and adjacent blocks, uint8 [h, w].
    """
    height, width = view.shape[:2]
    padded = np.pad(blocks, ((1, 1), (1, 1), (0, 0)), "edge")
    rows, cols = blocks.shape[:2]
    light = view.astype(np.float32)
    shares = []
    for y, x in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):  # the block itself first
        shifted = np.ascontiguousarray(padded[y : y + rows, x : x + cols])
        grown = cv2.resize(shifted, (cols * side, rows * side), interpolation=cv2.INTER_NEAREST)
        share = cv2.divide(light, grown[:height, :width], scale=255, dtype=cv2.CV_8U)
        shares.append(np.asarray(share, np.uint8))
    least = chroma_of(shares[0])
    for share in shares[1:]:
        least = np.asarray(cv2.min(least, chroma_of(share)), np.uint8)
    return shares[0], least


def _fill(colours: Float32Array, known: BoolArray, glass: Colour) -> Float32Array:
    """Fill unknown blocks with the mean of the nearest known ones, over growing neighbourhoods."""
    filled = np.where(known[..., None], colours, 0).astype(np.float32)
    missing = ~known
    if missing.all():
        return np.broadcast_to(np.asarray(glass, np.float32), colours.shape).copy()
    weight, reach = known.astype(np.float32), 3
    while missing.any():
        size = (reach, reach)
        total = cv2.boxFilter(weight, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        sums = cv2.boxFilter(
            colours * weight[..., None], -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        near = missing & (total > 0.5)
        filled[near] = sums[near] / total[near, None]
        missing &= ~near
        reach = 2 * reach + 1
    return filled
