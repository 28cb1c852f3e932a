"""The areas that all annotation files mark, and whether regions cover them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.fuzz.case import WrongContentError
from wsi_embed.regions import RegionRules

Corners = list[tuple[float, float]]
Mask = npt.NDArray[np.bool_]

SIZE, SHAPE, SCALE = (
    (400, 300),
    (75, 100),
    4.0,
)  # (width, height) of the slide; (h, w) of the mask; their ratio
# No corner lies on the centre of a pixel of the mask.
TUMOR: Corners = [(41.0, 31.0), (201.0, 31.0), (201.0, 163.0), (41.0, 163.0)]
HOLE: Corners = [(81.0, 71.0), (121.0, 71.0), (121.0, 111.0), (81.0, 111.0)]
STROMA: Corners = [(221.0, 101.0), (361.0, 101.0), (361.0, 241.0), (221.0, 241.0)]


def _rectangle(corners: Corners) -> Mask:
    y, x = (np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5) * SCALE
    (left, top), (right, bottom) = corners[0], corners[2]
    return np.asarray((x > left) & (x < right) & (y > top) & (y < bottom))


_TUMOR, _STROMA = _rectangle(TUMOR) & ~_rectangle(HOLE), _rectangle(STROMA)
# Choices of classes, and what each takes.
EXPECTED: list[tuple[RegionRules, Mask]] = [
    (RegionRules(), _TUMOR | _STROMA),
    (RegionRules(include=("tumor",)), _TUMOR),
    (RegionRules(exclude=("Tumor",)), _STROMA),
]


def check_mask(found: Mask, expected: Mask) -> None:
    """Check which part of the slide is taken.

    Raises:
        WrongContentError: It is another.
    """
    more, less = (found & ~expected).sum(), (expected & ~found).sum()
    if more or less:
        raise WrongContentError(f"{more} pixels too many and {less} too few of {expected.sum()}")
