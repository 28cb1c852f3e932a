"""Check of what an ONNX file of another tool returns: finite features of each tile by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed_export.real_tiles import packaged_tiles

Features = Callable[[UInt8Array], npt.NDArray[np.float32]]
# Numbers of classes of ImageNet-1k and both versions of ImageNet-21k, and names of outputs with such scores.
CLASSES = (1000, 21841, 21843)
CLASS_NAMES = ("logit", "prob", "softmax", "score")
# Largest difference between two computations of the same features, relative to the largest feature.
TOLERANCE = 0.02
EVALUATION = "export it in evaluation mode (model.eval())"


def check_features(where: str, features: Features, tile_px: int, batch: int | None) -> None:
    """Check that the features of a tile are finite, the same in every run, and do not depend on other tiles.

    Args:
        where: Name of the file, for messages.
        features: Function that computes the features of tiles.
        tile_px: Side of a tile, pixels.
        batch: Number of tiles in a batch of the file, if it is fixed.

    Raises:
        UsageError: If one of these does not hold, or different tiles have the same features.
    """
    tiles = packaged_tiles(np.random.default_rng(0), 4, tile_px)
    found = features(tiles)
    if not np.isfinite(found).all():
        raise UsageError("returns features that are not finite", where=where)
    if _differ(found, features(tiles)):
        raise UsageError("returns other features in every run", where=where, remedy=EVALUATION)
    with_others = np.concatenate([tiles[:1], np.full_like(tiles[1:], 255)])
    if batch != 1 and _differ(found[:1], features(with_others)[:1]):
        depends = "the features of a tile depend on the other tiles of its batch"
        raise UsageError(depends, where=where, remedy=EVALUATION)
    if np.ptp(found, axis=0).max() == 0:
        raise UsageError("returns the same features for all tiles", where=where)


def check_no_classes(where: str, output: str, shape: Sequence[int]) -> None:
    """Check that an output which the user did not name does not seem to hold the scores of classes.

    Args:
        where: Name of the file, for messages.
        output: Name of the output.
        shape: Shape of its value, tiles and features first.

    Raises:
        UsageError: If its name or the number of its features is one of classes.
    """
    if shape[1] in CLASSES or any(name in output.lower() for name in CLASS_NAMES):
        raise UsageError(
            f"{output} {shape} seems to hold the scores of classes, not features",
            where=where,
            remedy=f"export it without its classifier, or give `features='{output}'` if they are features",
        )


def _differ(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    return bool(np.abs(one - other).max() > TOLERANCE * max(np.abs(one).max(), np.abs(other).max()))
