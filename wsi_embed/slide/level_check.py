"""Comparison of the levels of an open slide, once per file and process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsi_embed.errors import SlideError
from wsi_embed.slide.places import Picture
from wsi_embed.slide.same_picture import other_levels

if TYPE_CHECKING:
    from wsi_embed.slide.base import Slide

LARGE_SHIFT = 3.0  # pixels of the coarser level
# Levels that do not show what level 0 shows, by fingerprint and reader: many slides are opened repeatedly.
MOST_COMPARED = 65536
_COMPARED: dict[tuple[str, str], frozenset[int]] = {}


def leave_out_others(slide: Slide, pictures: Sequence[Picture]) -> None:
    """Compare the levels of a slide, and set its `other_levels`, `left_out` and `warnings`.

    Args:
        slide: Open slide, whose `levels_state` says how levels are compared, and is `alike` afterwards.
        pictures: Its levels.

    Raises:
        SlideError: If level 0 itself is in doubt.
    """
    known = (slide.fingerprint, slide.reader)
    others = _COMPARED.get(known)
    if others is None:
        try:
            most = LARGE_SHIFT if slide.levels_state == "large shifts" else math.inf
            others = frozenset(other_levels(pictures, slide.levels_state == "shifts", most))
        except SlideError as error:
            raise error.at(slide.path) from error
        if len(_COMPARED) >= MOST_COMPARED:
            _COMPARED.clear()
        _COMPARED[known] = others
    slide.other_levels = others
    _name(slide, others)
    slide.levels_state = "alike"


def _name(slide: Slide, others: frozenset[int]) -> None:
    """Add a warning and an entry of `left_out` for each level that shows something else."""
    names = [(level, "{} x {}".format(*slide.level_sizes[level])) for level in sorted(others)]
    left_out = [f"level {level} ({size}): it does not show what level 0 shows" for level, size in names]
    warnings = [
        f"{slide.path.name}: its level {level} ({size} pixels) does not show what level 0 shows (a label, a "
        "mask, another scan, or made carelessly?) and is not read"
        for level, size in names
    ]
    # without repetition, because another thread may have added them
    slide.left_out = tuple(dict.fromkeys((*slide.left_out, *left_out)))
    slide.warnings = tuple(dict.fromkeys((*slide.warnings, *warnings)))
