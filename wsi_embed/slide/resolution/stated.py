"""Resolution stated by one metadata field."""

from __future__ import annotations

import math
from dataclasses import dataclass

MPP_MIN, MPP_MAX = 0.05, 20.0
TOLERANCE = 0.02
# Resolutions that programs write when they know none: common dots per inch, and 1 pixel per mm, cm or inch.
MEANINGLESS = (*(25_400 / dpi for dpi in (1, 72, 96, 100, 150, 200, 300, 600)), 1000.0, 10_000.0)
MPP_TIMES_POWER = 10.0  # a 10x objective gives about 1 um per pixel on the cameras that scanners use


@dataclass(frozen=True)
class Stated:
    """Resolution of level 0 stated by one metadata field.

    Attributes:
        mpp: Micrometres per pixel, (x, y).
        source: Name of the field.
    """

    mpp: tuple[float, float]
    source: str

    @property
    def plausible(self) -> bool:
        """Whether a slide may have this resolution, unlike defaults such as 72 dpi or 1 pixel per mm."""
        return all(MPP_MIN <= mpp <= MPP_MAX for mpp in self.mpp)

    @property
    def meaningless(self) -> bool:
        """Whether programs write this number when they know no resolution, or no pixel can have it."""
        if not all(0 < mpp < math.inf for mpp in self.mpp):
            return True
        return any(all(abs(mpp / number - 1) < 0.002 for mpp in self.mpp) for number in MEANINGLESS)

    def times(self, mpp: float) -> float:
        """Return the factor to another resolution, 1 or more, on the axis that differs least."""
        return min(max(own / mpp, mpp / own) if own > 0 else math.inf for own in self.mpp)

    def agrees(self, mpp: tuple[float, float]) -> bool:
        """Return whether both axes are within 2 % of another resolution."""
        return all(alike(a, b) for a, b in zip(self.mpp, mpp, strict=True))

    def __str__(self) -> str:
        """Return the number for messages, both if they differ."""
        return " x ".join(dict.fromkeys(f"{value:g}" for value in self.mpp))


def alike(a: float, b: float) -> bool:
    """Return whether two resolutions differ by at most 2 % of their mean."""
    return abs(a - b) <= TOLERANCE * (a + b) / 2
