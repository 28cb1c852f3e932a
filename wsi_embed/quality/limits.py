"""Limits of quality: which tiles are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument


@dataclass(frozen=True)
class QualityLimits:
    """Limits of quality; tiles beyond them are left out.

    Attributes:
        min_focus: Smallest `focus` of a tile, grey levels; None for no limit.
        max_pen: Largest share of a tile that has the colour of ink, 0 to 1; None for no limit.
        max_dark: Largest `dark` of a tile, optical density; None for no limit.

    Raises:
        UsageError: If a limit is negative or not finite, or a share exceeds 1.
    """

    min_focus: float | None = None
    max_pen: float | None = None
    max_dark: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is None:
                continue
            if not (math.isfinite(value) and value >= 0):
                raise UsageError("a number of at least 0 is expected", where=argument(name, value))
            if name == "max_pen" and value > 1:
                raise UsageError("a share from 0 to 1 is expected", where=argument(name, value))

    @property
    def used(self) -> bool:
        """Whether there is any limit."""
        return self != QualityLimits()

    def to_dict(self) -> dict[str, Any]:
        """Return the limits as JSON values."""
        return asdict(self)

    def kept(self, values: Mapping[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.bool_]:
        """Return which tiles are within the limits, bool [N]; tiles that could not be measured are.

        Args:
            values: Values of the tiles by measure, float32 [N] each.
        """
        kept = np.ones(len(values["focus"]), np.bool_)
        if self.min_focus is not None:
            kept &= ~(values["focus"] < self.min_focus)
        if self.max_pen is not None:
            kept &= ~(values["pen"] > self.max_pen)
        if self.max_dark is not None:
            kept &= ~(values["dark"] > self.max_dark)
        return kept
