"""Whether two levels show the same picture: compared at a few places, at low resolution."""

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
# Side of a place, pixels of the coarser level; of the finer level no more are read.
SIDE, MOST_FINE = 64, 512
SMALLEST_SIDE = 12
# A level of at most this many pixels is read whole to find where there is something to see.
MOST_WHOLE = 1 << 20
SAMPLED = 6  # places a side otherwise
# Pixels are blurred by this before they are compared: levels are sharpened, and compressed apart.
BLUR = 1.0
# Grey values: below this deviation there is nothing to compare; mean colours further apart are others. Levels
# of one scan were seen 5.5 apart (JPEG with coarse chroma), those in grey or another hue 20 to 40.
FLAT, OTHER_COLOUR, OTHER_STITCHED = 4.0, 14.0, 40.0
# Correlation of what is the same: 0.9 and more between levels of one scan. Levels that are put together of
# overlapping photographs may lie apart.
ALIKE, STITCHED = 0.85, 0.6
# A shift counts where it makes the correlation better by this.
BETTER = 0.005
# Places are compared at shifts of up to this many pixels; up to so much comes from rounding and decimation.
REACH, ROUNDED = 6, 1.4


@dataclass(frozen=True)
class Picture:
    """One level as a picture.

    Attributes:
        size: (width, height), pixels.
        scale: Level-0 pixels per pixel, (x, y).
        read: Reads a region (x, y, width, height) that lies inside, RGB uint8 [h, w, 3].
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    read: Callable[[int, int, int, int], UInt8Array]


def places_of(picture: Picture, most: int = PLACES) -> list[tuple[float, float]]:
    """Find where a picture has most to see, by the deviation of its grey values.

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
        shifts: Whether a level that lies two pixels or more beside the other is another picture.

    Returns:
        `same` or `other` by the majority of the places; `unknown` if nowhere is anything to compare.
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
    """Find the first level that does not show what the next finer one shows.

    Args:
        levels: Level 0 first.
        shifts: As for `compare`.

    Returns:
        Its number, or None if all show the same or there is nothing to compare.
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
    """Compare two levels at one place; if they are the same, return by how much one lies beside the other."""
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
        return "unknown"  # whoever needs these pixels will say what is wrong with them
    shrunk = np.asarray(cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    return _compare_pixels(_blurred(shrunk), _blurred(found), alike)


def _blurred(pixels: UInt8Array) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), BLUR), np.float32)


def _compare_pixels(
    fine: Float32Array, coarse: Float32Array, alike: float
) -> tuple[float, float] | Literal["other", "unknown"]:
    """Compare two views of one place at one size, blurred, float32 [h, w, 3]; returns as `_compare_at`."""
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
        return 0.0, 0.0  # a smooth picture fits at any shift
    return _peak(fit[row].tolist(), column) - margin, _peak(fit[:, column].tolist(), row) - margin


def _exchanged(fine: Float32Array, coarse: Float32Array) -> bool:
    """Tell whether red and blue of one view are those of the other the other way round."""
    a, b = (view[..., 0] - view[..., 2] for view in (fine, coarse))
    if min(a.std(), b.std()) < FLAT / 2:
        return False
    return float(((a - a.mean()) * (b - b.mean())).mean()) < 0 and a.mean() * b.mean() < 0


def _peak(values: Sequence[float], at: int) -> float:
    """Return where the parabola through the largest of some values and its neighbours has its top."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, top, after = values[at - 1 : at + 2]
    bend = before - 2 * top + after
    return at + (0.5 * (before - after) / bend if bend else 0.0)
