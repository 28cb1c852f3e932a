"""Comparison of two levels at a few places, at low resolution, to check that they show the same picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Verdict = Literal["same", "other", "unknown"]

PLACES = 6
# Side of a place in pixels of the coarser level, and limit in pixels of the finer level.
SIDE, MOST_FINE = 64, 512
SMALLEST_SIDE = 12
# A level of at most this many pixels is read completely to find places with content.
MOST_WHOLE = 1 << 20
SAMPLED = 6  # otherwise, places per side
# Pixels are blurred before comparison, because levels are sharpened and compressed separately.
BLUR = 1.0
# Grey values: below the deviation FLAT there is nothing to compare; mean colours further apart than the other
# two differ. Levels of one scan differed by up to 5.5 (JPEG with coarse chroma), grey or tinted by 20 to 40.
FLAT, OTHER_COLOUR, OTHER_STITCHED = 4.0, 14.0, 40.0
# Correlation of equal pictures: 0.9 and more between levels of one scan. Levels that are stitched from
# overlapping photographs may be shifted.
ALIKE, STITCHED = 0.85, 0.6
# A shift counts if it improves the correlation by this.
BETTER = 0.005
# Places are compared at shifts of up to REACH pixels; shifts up to ROUNDED come from rounding and decimation.
REACH, ROUNDED = 6, 1.4


@dataclass(frozen=True)
class Picture:
    """Level as a picture.

    Attributes:
        size: (width, height), pixels.
        scale: Level-0 pixels per pixel, (x, y).
        read: Function that reads a region (x, y, width, height) inside the level, RGB uint8 [h, w, 3].
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    read: Callable[[int, int, int, int], UInt8Array]


def places_of(picture: Picture, most: int = PLACES) -> list[tuple[float, float]]:
    """Return the places of a picture with the most content, by the deviation of grey values.

    Args:
        picture: The coarsest level.
        most: Number of places.

    Returns:
        Centres of the places, (x, y), level-0 pixels.
    """
    try:
        blocks = _blocks(picture) if picture.size[0] * picture.size[1] <= MOST_WHOLE else _sample(picture)
    except SlideError:
        blocks = _sample(picture)
    best = sorted(blocks, key=lambda place: -blocks[place])[:most]
    return [(x * picture.scale[0], y * picture.scale[1]) for x, y in best]


def _blocks(picture: Picture) -> dict[tuple[float, float], float]:
    """Return the deviation in every block of a picture, by the block's centre."""
    width, height = picture.size
    grey = cv2.cvtColor(picture.read(0, 0, width, height), cv2.COLOR_RGB2GRAY)
    side = max(4, min(SIDE // 2, width // 6, height // 6))
    return {
        (x + side / 2, y + side / 2): float(grey[y : y + side, x : x + side].std())
        for y in range(0, max(1, height - side + 1), side)
        for x in range(0, max(1, width - side + 1), side)
    }


def _sample(picture: Picture) -> dict[tuple[float, float], float]:
    """Return the deviation in some places of a picture, by their centres."""
    w, h = (min(SIDE, side) for side in picture.size)
    found = {}
    for row, column in np.ndindex(SAMPLED, SAMPLED):
        x = (picture.size[0] - w) * column // (SAMPLED - 1)
        y = (picture.size[1] - h) * row // (SAMPLED - 1)
        try:
            found[x + w / 2, y + h / 2] = float(picture.read(x, y, w, h).std())
        except SlideError:
            continue
    return found


def compare(fine: Picture, coarse: Picture, places: Sequence[tuple[float, float]], shifts: bool) -> Verdict:
    """Compare two levels at some places.

    Args:
        fine: The finer level.
        coarse: The coarser level.
        places: Centres, (x, y), level-0 pixels.
        shifts: Whether a level that is shifted by two pixels or more counts as another picture.

    Returns:
        `same` or `other` by the majority of the places; `unknown` if there is nothing to compare.
    """
    alike = ALIKE if shifts else STITCHED
    found = [_compare_at(fine, coarse, place, alike) for place in places]
    same, other = [match for match in found if isinstance(match, tuple)], found.count("other")
    if not same and not other:
        return "unknown"
    if len(same) <= other:
        return "other"
    moved = np.abs(np.median(same, axis=0)).max() > ROUNDED
    return "other" if shifts and moved else "same"


def first_other(levels: Sequence[Picture], shifts: bool) -> int | None:
    """Return the number of the first level that does not show what the next finer one shows.

    Args:
        levels: Levels, level 0 first.
        shifts: Whether shifts count, as for `compare`.

    Returns:
        Number of the level; None if all agree or there is nothing to compare.
    """
    if len(levels) < 2:
        return None
    places = places_of(levels[-1])
    for number, (fine, coarse) in enumerate(pairwise(levels), start=1):
        if compare(fine, coarse, places, shifts) == "other":
            return number
    return None


def _compare_at(
    fine: Picture, coarse: Picture, place: tuple[float, float], alike: float
) -> tuple[float, float] | Literal["other", "unknown"]:
    """Compare two levels at one place; if they agree, return the shift between them."""
    step = [a / b for a, b in zip(coarse.scale, fine.scale, strict=True)]
    side = max(SMALLEST_SIDE, min(SIDE, int(MOST_FINE / max(step))))
    w, h = (min(side, whole) for whole in coarse.size)
    x, y = (
        min(max(0, round(at / scale - part / 2)), whole - part)
        for at, scale, part, whole in zip(place, coarse.scale, (w, h), coarse.size, strict=True)
    )
    left, top = round(x * step[0]), round(y * step[1])
    right = min(round((x + w) * step[0]), fine.size[0])
    bottom = min(round((y + h) * step[1]), fine.size[1])
    if right - left < 2 or bottom - top < 2:
        return "unknown"
    try:
        pixels, found = fine.read(left, top, right - left, bottom - top), coarse.read(x, y, w, h)
    except SlideError:
        return "unknown"  # reported when these pixels are read
    shrunk = np.asarray(cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    return _compare_pixels(_blurred(shrunk), _blurred(found), alike)


def _blurred(pixels: UInt8Array) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), BLUR), np.float32)


def _compare_pixels(
    fine: Float32Array, coarse: Float32Array, alike: float
) -> tuple[float, float] | Literal["other", "unknown"]:
    """Compare two views of one place at one size, blurred, float32 [h, w, 3].

    The result is that of `_compare_at`.
    """
    limit = OTHER_COLOUR if alike == ALIKE else OTHER_STITCHED
    if np.abs(fine.mean((0, 1)) - coarse.mean((0, 1))).max() > limit or _exchanged(fine, coarse):
        return "other"
    a, b = fine.mean(2), coarse.mean(2)
    if max(a.std(), b.std()) < FLAT:
        return "unknown"
    margin = min(REACH, (min(a.shape) - 4) // 3)
    inner = np.ascontiguousarray(b[margin:-margin, margin:-margin]) if margin > 0 else b
    if inner.std() < FLAT / 2:
        return (0.0, 0.0) if np.abs(a - b).mean() < FLAT else "other"
    fit = cv2.matchTemplate(a, inner, cv2.TM_CCOEFF_NORMED)
    row, column = (int(index) for index in np.unravel_index(int(fit.argmax()), fit.shape))
    if fit[row, column] < alike:
        return "other"
    if fit[row, column] - fit[margin, margin] < BETTER:
        return 0.0, 0.0  # a smooth picture matches at any shift
    return _peak(fit[row].tolist(), column) - margin, _peak(fit[:, column].tolist(), row) - margin


def _exchanged(fine: Float32Array, coarse: Float32Array) -> bool:
    """Return whether red and blue are swapped between two views."""
    a, b = (view[..., 0] - view[..., 2] for view in (fine, coarse))
    if min(a.std(), b.std()) < FLAT / 2:
        return False
    return float(((a - a.mean()) * (b - b.mean())).mean()) < 0 and a.mean() * b.mean() < 0


def _peak(values: Sequence[float], at: int) -> float:
    """Return the position of the maximum of the parabola through the largest value and its neighbours."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, top, after = values[at - 1 : at + 2]
    bend = before - 2 * top + after
    return at + (0.5 * (before - after) / bend if bend else 0.0)
