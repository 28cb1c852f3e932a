"""Mean features of a bag: a short descriptor of a slide or patient."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import StoreError, UsageError

# Rows that are read at a time.
BLOCK = 8192


class Rows(Protocol):
    """Array of rows that is read by slicing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> npt.NDArray[Any]: ...


def mean_features(features: Rows, where: str) -> npt.NDArray[np.float32]:
    """Compute the mean of rows in float64, reading a block at a time.

    Args:
        features: Features of the tiles, [N, D].
        where: Slide id or patient, for messages.

    Returns:
        Mean features, float32 [D].

    Raises:
        UsageError: If there are no tiles.
        StoreError: If the features are damaged or not finite.
    """
    if not len(features):
        raise UsageError("has no tiles, so there is no mean", where=where, remedy="leave it out")
    total = np.zeros(features.shape[1], np.float64)
    for start in range(0, len(features), BLOCK):
        total += features[start : start + BLOCK].sum(0, dtype=np.float64)
    if not np.isfinite(total).all():
        raise StoreError("features that are not finite", where=where, remedy="run wsi-embed verify")
    return (total / len(features)).astype(np.float32)
