"""The measures of quality, by name: the arrays that a store has beside the features."""

from __future__ import annotations

from dataclasses import dataclass

# Resolution of `focus`, um per pixel: finer tiles are reduced to about this, coarser ones are taken as they
# are.
FOCUS_MPP = 0.5
# Resolution at which colours are judged, um per pixel: about the size of a nucleus, so that a flat colour
# such as ink stays what it is, and nuclei mix with what surrounds them.
COLOUR_MPP = 8.0
# Focus at which half of the tissue's fine structure is gone: sharp tiles of five stains have 11 or more
# (5th percentile), the same tiles behind a Gaussian blur of 1 um 2.4 to 6.3, of 1.5 um 1.7 to 3.1.
BLURRED = 4.0


@dataclass(frozen=True)
class Measure:
    """Measure of a tile's quality.

    Attributes:
        title: Name for people.
        unit: Unit of the values.
        top: Value that pictures show in the last colour of their scale.
    """

    title: str
    unit: str
    top: float


MEASURES: dict[str, Measure] = {
    "focus": Measure("Focus", "grey levels", top=40.0),
    "pen": Measure("Pen", "share of the tile", top=1.0),
    "dark": Measure("Darkness", "optical density", top=1.2),
}
