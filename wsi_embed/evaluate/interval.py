"""A score with its confidence interval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
NO_SPREAD = (
    "no spread: all folds or resamples gave the same score, which is no certainty; test with more data"
)


@dataclass(frozen=True)
class Interval:
    """Mean with its 95 % confidence interval; the limits are None if there is no interval."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        if not self.has_spread:
            return f"{self.mean:.3f} (no spread)"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"

    @property
    def has_spread(self) -> bool:
        """Whether the limits differ. They agree if all tests were right, however few there were."""
        return self.low is None or self.high is None or self.high - self.low > 1e-9

    def to_dict(self) -> dict[str, float | None]:
        """Return the values for JSON."""
        return asdict(self)


def spread_notes(intervals: Iterable[Interval]) -> list[str]:
    """Return a note if an interval has no spread."""
    return [] if all(interval.has_spread for interval in intervals) else [NO_SPREAD]


def percentile_interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    """Return a score with the percentile interval of its bootstrap.

    Args:
        value: The score.
        drawn: The score in each resample, float64 [resamples].
    """
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
