"""Resolution stated by one metadata field."""

from __future__ import annotations

from dataclasses import dataclass

MPP_MIN, MPP_MAX = 0.05, 20.0
TOLERANCE = 0.02
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

    def agrees(self, mpp: tuple[float, float]) -> bool:
        """Return whether both axes are within 2 % of another resolution."""
        return all(alike(a, b) for a, b in zip(self.mpp, mpp, strict=True))

    def __str__(self) -> str:
        """Return the number for messages, both if they differ."""
        return " x ".join(dict.fromkeys(f"{value:g}" for value in self.mpp))


def alike(a: float, b: float) -> bool:
    """Return whether two resolutions differ by at most 2 % of their mean."""
    return abs(a - b) <= TOLERANCE * (a + b) / 2
