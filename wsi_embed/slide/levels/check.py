"""Comparison of the levels of an open slide, once per file and process."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wsi_embed.slide.levels.places import Picture
from wsi_embed.slide.levels.same_picture import other_levels

LARGE_SHIFT = 3.0  # pixels of the coarser level
# Levels that do not show what level 0 shows, by fingerprint and reader: many slides are opened repeatedly.
MOST_COMPARED = 65536
_COMPARED: dict[tuple[str, str], frozenset[int]] = {}


def compared_levels(known: tuple[str, str], pictures: Sequence[Picture], state: str) -> frozenset[int]:
    """Return the indices of the levels that do not show what level 0 shows.

    Args:
        known: Fingerprint and reader of the slide.
        pictures: Its levels.
        state: State of the levels; see `Slide.levels_state`.

    Raises:
        SlideError: If level 0 itself is in doubt.
    """
    others = _COMPARED.get(known)
    if others is None:
        most = LARGE_SHIFT if state == "large shifts" else math.inf
        others = frozenset(other_levels(pictures, state == "shifts", most))
        if len(_COMPARED) >= MOST_COMPARED:
            _COMPARED.clear()
        _COMPARED[known] = others
    return others


def words_for(
    name: str, others: frozenset[int], sizes: Sequence[tuple[int, int]]
) -> tuple[list[str], list[str]]:
    """Describe the levels that are not read.

    Args:
        name: File name of the slide.
        others: Indices of these levels.
        sizes: (width, height) of each level, pixels.

    Returns:
        Entries of `left_out`, and warnings.
    """
    found = [(level, "{} x {}".format(*sizes[level])) for level in sorted(others)]
    left_out = [f"level {level} ({size}): it does not show what level 0 shows" for level, size in found]
    warnings = [
        f"{name}: its level {level} ({size} pixels) does not show what level 0 shows (a label, a mask, "
        "another scan, or made carelessly?) and is not read"
        for level, size in found
    ]
    return left_out, warnings
