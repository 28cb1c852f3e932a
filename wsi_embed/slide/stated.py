"""A resolution as one field of the metadata states it."""

from __future__ import annotations

from dataclasses import dataclass

MPP_MIN, MPP_MAX = 0.05, 20.0
TOLERANCE = 0.02
MPP_TIMES_POWER = 10.0  # a 10x objective gives about 1 um per pixel on the cameras that scanners use


@dataclass(frozen=True)
class Stated:
    """The resolution of level 0 by one field of the metadata.

    Attributes:
        mpp: Micrometres per pixel, (x, y).
        source: Name of the field.
    """

    mpp: tuple[float, float]
    source: str

    @property
    def plausible(self) -> bool:
        """Whether it may be the resolution of a slide: defaults such as 72 dpi or 1 pixel per mm are not."""
        return all(MPP_MIN <= mpp <= MPP_MAX for mpp in self.mpp)

    def agrees(self, mpp: tuple[float, float]) -> bool:
        """Tell whether both axes are within 2 % of another resolution."""
        return all(alike(a, b) for a, b in zip(self.mpp, mpp, strict=True))

    def __str__(self) -> str:
        """The number, both where they differ, as texts for users have it."""
        return " x ".join(dict.fromkeys(f"{value:g}" for value in self.mpp))


def alike(a: float, b: float) -> bool:
    """Tell whether two resolutions differ by no more than 2 % of their mean."""
    return abs(a - b) <= TOLERANCE * (a + b) / 2
