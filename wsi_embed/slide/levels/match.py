"""Comparison of two levels at one place, at low resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.places import FLAT, SIDE, Picture, Place

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Verdict = Literal["same", "other", "unknown"]

# Limit of a place's side in pixels of the finer level, and in pixels of the coarser level.
MOST_FINE = 512
SMALLEST_SIDE = 12
# Pixels are blurred before comparison, because levels are sharpened and compressed separately.
BLUR = 1.0
# Grey values: mean colours further apart than this differ. Levels of one scan differed by up to 5.5 (JPEG
# with coarse chroma), grey or tinted by 20 to 40.
OTHER_COLOUR, OTHER_STITCHED = 14.0, 40.0
# Correlation of equal pictures: 0.9 and more between levels of one scan. Levels that are stitched from
# overlapping photographs may be shifted.
ALIKE, STITCHED = 0.85, 0.6
# Faint content has this deviation, grey values, which noise of 6 does not reach after the blur, and is darker
# by as much than all pixels of the finer level.
FAINT, DARKER = 2.5, 8
# Pictures whose correlation is lower than these by as much have nothing in common.
NOTHING_ALIKE = 0.25
# A shift counts if it improves the correlation by this.
BETTER = 0.005
# Places are compared at shifts of up to REACH pixels; shifts up to ROUNDED come from rounding and decimation.
REACH, ROUNDED = 6, 1.4


@dataclass(frozen=True)
class Match:
    """Result of comparing two levels at one place.

    Attributes:
        verdict: Whether they show the same there.
        shift: Shift between them if they do, (x, y), pixels of the coarser level.
        clear: Whether the finer level certainly has content there that the coarser level does not show in its
            place.
        faint: Whether the coarser level has faint content there that the finer level does not show.
        recoloured: Whether they show the same in other colours.
        lost: Whether the finer level is blank there, and the coarser one is not.
    """

    verdict: Verdict
    shift: tuple[float, float] = (0.0, 0.0)
    clear: bool = False
    faint: bool = False
    recoloured: bool = False
    lost: bool = False


def compare_at(fine: Picture, coarse: Picture, place: Place, alike: float) -> Match:
    """Compare two levels at one place.

    Args:
        fine: The finer level.
        coarse: The coarser level.
        place: Centre, (x, y), level-0 pixels.
        alike: Smallest correlation of equal pictures: `ALIKE` or `STITCHED`.
    """
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
        return Match("unknown")
    try:
        pixels, found = fine.read(left, top, right - left, bottom - top), coarse.read(x, y, w, h)
    except SlideError:
        return Match("unknown")  # reported when these pixels are read
    shrunk = np.asarray(cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    match = _compare_pixels(_blurred(shrunk), _blurred(found), alike)
    # pixels of a level lie between those that it was made from
    darker = int(found.min()) < int(pixels.min()) - DARKER
    brighter = int(found.max()) > int(pixels.max()) + DARKER
    return replace(match, faint=match.faint and darker, lost=match.lost and (darker or brighter))


def _blurred(pixels: UInt8Array) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), BLUR), np.float32)


def _compare_pixels(fine: Float32Array, coarse: Float32Array, alike: float) -> Match:
    """Compare two views of one place at one size, blurred, float32 [h, w, 3]."""
    a, b = fine.mean(2), coarse.mean(2)
    limit = OTHER_COLOUR if alike == ALIKE else OTHER_STITCHED
    apart = np.abs(fine.mean((0, 1)) - coarse.mean((0, 1))).max()
    coloured = apart > limit or _exchanged(fine, coarse) or _one_is_grey(fine, coarse)
    if max(a.std(), b.std()) < FLAT:
        return Match("other" if coloured else "unknown", faint=_faint(a, b))
    margin = max(0, min(REACH, (min(a.shape) - 4) // 3))
    inner = np.ascontiguousarray(b[margin:-margin, margin:-margin]) if margin > 0 else b
    if inner.std() < FLAT / 2:
        other = coloured or np.abs(a - b).mean() >= FLAT
        return Match("other", clear=bool(a.std() >= FLAT)) if other else Match("same")
    fit = cv2.matchTemplate(a, inner, cv2.TM_CCOEFF_NORMED)
    row, column = (int(index) for index in np.unravel_index(int(fit.argmax()), fit.shape))
    clear = bool(a.std() >= FLAT and _best_near(fit, margin, alike) < alike - NOTHING_ALIKE)
    if coloured or fit[row, column] < alike:
        return Match("other", clear=clear, recoloured=fit[row, column] >= alike, lost=bool(a.std() < FLAT))
    if fit[row, column] - fit[margin, margin] < BETTER:
        return Match("same")  # a smooth picture matches at any shift
    shift = _peak(fit[row].tolist(), column) - margin, _peak(fit[:, column].tolist(), row) - margin
    return Match("same", shift, clear)


def _faint(fine: Float32Array, coarse: Float32Array) -> bool:
    """Return whether only the coarser of two nearly blank views, float32 [h, w], has content."""
    a, b = float(fine.std()), float(coarse.std())
    together = float(((fine - fine.mean()) * (coarse - coarse.mean())).mean())
    return b >= max(FAINT, 2 * a) and together <= STITCHED * a * b


def _best_near(fit: npt.NDArray[Any], margin: int, alike: float) -> float:
    """Return the best correlation at the shifts that rounding explains; stitched levels may have any."""
    reach = min(margin, math.ceil(ROUNDED)) if alike == ALIKE else margin
    near = slice(margin - reach, margin + reach + 1)
    return float(fit[near, near].max())


def _exchanged(fine: Float32Array, coarse: Float32Array) -> bool:
    """Return whether red and blue are swapped between two views."""
    a, b = (view[..., 0] - view[..., 2] for view in (fine, coarse))
    if min(a.std(), b.std()) < FLAT / 2:
        return False
    return float(((a - a.mean()) * (b - b.mean())).mean()) < 0 and a.mean() * b.mean() < 0


def _one_is_grey(fine: Float32Array, coarse: Float32Array) -> bool:
    """Return whether one of two views has colours, and the other is grey."""
    less, more = sorted(float((view[..., ::2] - view[..., 1:2]).std((0, 1)).max()) for view in (fine, coarse))
    return less < FLAT / 4 and more >= 2 * FLAT


def _peak(values: Sequence[float], at: int) -> float:
    """Return the position of the maximum of the parabola through the largest value and its neighbours."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, top, after = values[at - 1 : at + 2]
    bend = before - 2 * top + after
    return at + (0.5 * (before - after) / bend if bend else 0.0)
