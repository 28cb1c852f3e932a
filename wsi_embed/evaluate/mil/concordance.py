"""Harrell's concordance index of risks and times that may be censored."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def concordance_index(times: Float, events: Float, risks: Float) -> float:
    """Return the share of comparable pairs in which the bag with the earlier event has the higher risk.

    A pair is comparable if the earlier of its times is an event, or if the times are equal and only one of
    them is an event, which then counts as the earlier. Equal risks count one half. Harrell, Lee and Mark,
    Statistics in Medicine 15, 1996.

    Args:
        times: Time of the event or of the end of observation, float64 [bags].
        events: 1 if the event was observed, 0 if the time is censored, [bags].
        risks: Predicted risks, float64 [bags]. A higher risk means an earlier event.

    Returns:
        Concordance index: 0.5 by chance, 1 for a perfect order; NaN if no pair is comparable.
    """
    observed = events > 0
    pairs, right = 0, 0.0
    for n in np.flatnonzero(observed):
        later = (times > times[n]) | ((times == times[n]) & ~observed)
        pairs += int(later.sum())
        right += float((risks[later] < risks[n]).sum() + 0.5 * (risks[later] == risks[n]).sum())
    return right / pairs if pairs else math.nan
