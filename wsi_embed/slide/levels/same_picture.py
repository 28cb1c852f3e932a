"""Comparison of two levels at a few places, to check that they show the same picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.match import ALIKE, ROUNDED, STITCHED, Verdict, compare_at
from wsi_embed.slide.levels.places import SIDE, Picture, Place, places_of, spread_places

# Faint content counts if that many places have it.
FAINT_PLACES = 2
# Places where the finer level certainly has other content whose neighbours are compared, too.
MOST_RECHECKED = 3


@dataclass(frozen=True)
class Comparison:
    """Result of comparing two levels.

    Attributes:
        verdict: `same`, `other`, or `unknown` if there is nothing to compare.
        related: Whether they show the same at any place, at least in other colours.
        lost: Whether they differ only where the finer level is blank.
    """

    verdict: Verdict
    related: bool = False
    lost: bool = False


def compare(
    fine: Picture, coarse: Picture, places: Sequence[Place], shifts: bool, most_shift: float = math.inf
) -> Comparison:
    """Compare two levels at some places.

    Args:
        fine: The finer level.
        coarse: The coarser level.
        places: Centres, (x, y), level-0 pixels. Some are added where the finer level has content.
        shifts: Whether a level that is shifted by two pixels or more counts as another picture.
        most_shift: Largest shift otherwise, pixels of the coarser level.

    Returns:
        `same` or `other` by the majority of the places, `other` also if a part of the level certainly shows
        something else; `unknown` if there is nothing to compare.
    """
    alike = ALIKE if shifts else STITCHED
    everywhere = _apart([*places, *spread_places(fine)], coarse)
    found = [compare_at(fine, coarse, place, alike) for place in everywhere]
    same = [match.shift for match in found if match.verdict == "same"]
    others = [match for match in found if match.verdict == "other"]
    other = len(others)
    if (faint := sum(match.faint for match in found)) >= FAINT_PLACES:
        other += faint
    if not same and not other:
        return Comparison("unknown")
    related = bool(same) or any(match.recoloured for match in found)
    lost = not same and all(match.lost for match in others)
    clear = [place for place, match in zip(everywhere, found, strict=True) if match.clear]
    if len(same) <= other or any(_around(fine, coarse, place, alike) for place in clear[:MOST_RECHECKED]):
        return Comparison("other", related, lost)
    moved = np.abs(np.median(same, axis=0)).max() > (ROUNDED if shifts else most_shift)
    return Comparison("other" if moved else "same", related)


def other_levels(levels: Sequence[Picture], shifts: bool, most_shift: float = math.inf) -> list[int]:
    """Return the numbers of the levels that do not show what level 0 shows.

    Each level is compared with the next finer one that does. A level that agrees with one that does not was
    made from it, and counts as another picture too: at its size, the difference may be hard to see.

    Args:
        levels: Levels, level 0 first.
        shifts: Whether shifts count, as for `compare`.
        most_shift: Largest shift otherwise, as for `compare`.

    Raises:
        SlideError: If level 0 itself is in doubt: it is blank where others are not, or several levels agree
            with each other, and have nothing in common with it.
    """
    kept, others, unrelated, doubt = list(levels[:1]), dict[int, Picture](), set[int](), False
    places = places_of(levels[-1]) if len(levels) > 1 else []
    for number, coarse in enumerate(levels[1:], start=1):
        found = compare(kept[-1], coarse, places, shifts, most_shift)
        made_from = (
            n for n in others if compare(others[n], coarse, places, shifts, most_shift).verdict == "same"
        )
        alike = set(made_from)
        if found.verdict != "other" and not alike:
            kept.append(coarse)
            continue
        others[number] = coarse
        if not found.related:
            doubt |= found.lost or bool(alike & unrelated)
            unrelated.add(number)
    if doubt and len(kept) == 1:
        raise SlideError(
            "its level 0 does not show what its other levels show", remedy="export it again from the scan"
        )
    return list(others)


def _apart(places: Sequence[Place], coarse: Picture) -> list[Place]:
    """Return the places without those of which more than half is inside an earlier one."""
    x, y = (SIDE / 2 * scale for scale in coarse.scale)
    kept: list[Place] = []
    for place in places:
        if all(abs(place[0] - other[0]) >= x or abs(place[1] - other[1]) >= y for other in kept):
            kept.append(place)
    return kept


def _around(fine: Picture, coarse: Picture, place: Place, alike: float) -> bool:
    """Return whether two levels certainly differ beside a place, too: a single speck does not count."""
    x, y = (SIDE / 2 * scale for scale in coarse.scale)
    beside = [(-x, 0.0), (x, 0.0), (0.0, -y), (0.0, y)]
    return any(compare_at(fine, coarse, (place[0] + dx, place[1] + dy), alike).clear for dx, dy in beside)
