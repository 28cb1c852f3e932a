"""Detection of slides that differ from the rest of a job, to be inspected before the features are used."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from statistics import median

from wsi_embed.jobs.report import SlideResult

# Smallest number of slides for which outliers can be detected.
FEWEST = 8
# Iglewicz and Hoaglin, "How to detect and handle outliers", 1993: modified z-scores beyond 3.5.
Z_MAX, Z_SCALE = 3.5, 0.6745
# Tissue share of a slide without glass, and share of nearly empty tiles, that are reported of any slide.
WHOLE, MOST_EMPTY = 0.995, 0.1
# Share of blurred tiles that is reported of any slide.
MOST_BLURRED = 0.25
MPP_ALIKE, MPP_RARE = 0.1, 0.1


def find_outliers(slides: Sequence[SlideResult]) -> dict[str, list[str]]:
    """Find slides that differ in tissue, tiles, sharpness or resolution, copies, and suspicious masks.

    Shares are compared as log odds and counts as logarithms, by the modified z-score (median and median
    absolute deviation); a resolution is an outlier if fewer than a tenth of the slides have it. Failed slides
    and slides without tiles (which have a warning of their own) are not considered.

    Args:
        slides: Results of a job.

    Returns:
        Descriptions of the deviations, by slide id. Slides are compared with the rest if there are eight or
        more. Copies of a slide, and slides that are all tissue, a quarter of whose tiles are blurred, or a
        tenth of whose tiles are nearly empty, are always found.
    """
    known = [s for s in slides if s.status in ("done", "skipped", "planned") and s.tiles]
    found: dict[str, list[str]] = {}
    for check in (
        _all_tissue,
        _near_empty,
        _copies,
        _blurred,
        *((_odd_tissue, _odd_tiles, _odd_focus, _odd_mpp) if len(known) >= FEWEST else ()),
    ):
        for slide_id, text in check(known).items():
            found.setdefault(slide_id, []).append(text)
    return found


def _all_tissue(slides: Sequence[SlideResult]) -> dict[str, str]:
    whole = (s for s in slides if s.near_empty is not None and s.tissue is not None and s.tissue >= WHOLE)
    return {
        s.slide_id: "all of the slide is tissue; unless it is a crop, look at its tissue mask" for s in whole
    }


def _near_empty(slides: Sequence[SlideResult]) -> dict[str, str]:
    return {
        s.slide_id: f"{100 * s.near_empty:.0f} % of its tiles are nearly empty; look at its tissue mask"
        for s in slides
        if s.near_empty is not None and s.near_empty >= MOST_EMPTY
    }


def _copies(slides: Sequence[SlideResult]) -> dict[str, str]:
    alike: dict[str, list[str]] = {}
    for slide in slides:
        if slide.content:
            alike.setdefault(slide.content, []).append(slide.slide_id)
    return {
        other: f"its file has the content of {first}; leave one of them out, or a patient counts twice"
        for first, *others in alike.values()
        for other in others
    }


def _blurred(slides: Sequence[SlideResult]) -> dict[str, str]:
    return {
        s.slide_id: f"{100 * s.blurred:.0f} % of its tiles are blurred; look at it, or leave them out with "
        "`min_focus=`"
        for s in slides
        if s.blurred is not None and s.blurred >= MOST_BLURRED
    }


def _odd_tissue(slides: Sequence[SlideResult]) -> dict[str, str]:
    shares = {s.slide_id: s.tissue for s in slides if s.tissue is not None}
    if len(shares) < FEWEST:
        return {}
    middle = median(shares.values())
    # smallest deviations to report: half of the tissue missing, or all glass in the mask
    odd = _beyond(shares, lambda share: math.log((share + 1e-4) / (1 - share + 1e-4)), floor=0.3)
    return {
        name: f"{100 * shares[name]:.3g} % of the slide is tissue, of most about {100 * middle:.2g} %; "
        "look at its tissue mask"
        for name in odd
    }


def _odd_tiles(slides: Sequence[SlideResult]) -> dict[str, str]:
    counts = {s.slide_id: float(s.tiles) for s in slides}
    middle = median(counts.values())
    odd = _beyond(counts, math.log, floor=0.3)
    return {n: f"{counts[n]:.0f} tiles, most have about {middle:.0f}; look at its tissue mask" for n in odd}


def _odd_focus(slides: Sequence[SlideResult]) -> dict[str, str]:
    values = {s.slide_id: s.focus for s in slides if s.focus is not None}
    if len(values) < FEWEST:
        return {}
    middle = median(values.values())
    odd = _beyond(values, lambda focus: math.log(focus + 0.1), floor=0.15)
    return {
        name: f"less sharp than the others (median focus {values[name]:.3g}, of most slides about "
        f"{middle:.3g}); look at it"
        for name in odd
        if values[name] < middle
    }


def _odd_mpp(slides: Sequence[SlideResult]) -> dict[str, str]:
    known = {s.slide_id: s.mpp for s in slides if s.mpp}
    if len(known) < FEWEST:
        return {}
    middle = median(known.values())
    ordered = sorted(known.values())

    def alike(a: float) -> int:
        low, high = a - MPP_ALIKE * a, a + MPP_ALIKE * a
        return bisect_right(ordered, high) - bisect_left(ordered, low)

    return {
        name: f"{mpp:.4g} um per pixel, most slides have {middle:.4g}; is its resolution right?"
        for name, mpp in known.items()
        if alike(mpp) < MPP_RARE * len(known) + 1 and abs(mpp - middle) > MPP_ALIKE * middle
    }


def _beyond(values: dict[str, float], scale: Callable[[float], float], floor: float) -> list[str]:
    """Return the names whose modified z-score exceeds 3.5; a deviation below `floor` counts as `floor`."""
    scaled = {name: scale(value) for name, value in values.items()}
    middle = median(scaled.values())
    spread = max(floor, median(abs(v - middle) for v in scaled.values()))
    return [name for name, v in scaled.items() if Z_SCALE * abs(v - middle) / spread > Z_MAX]
