"""Balanced accuracies of several classifiers on the same tiles, and their bootstrap over groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from wsi_embed.evaluate.tile_set import Strings

Bool = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float64]
RESAMPLES = 2000
# Number of weights of groups computed at a time: 64 MiB.
BLOCK = 2**23


def balanced_accuracies(right: Bool, labels: Strings) -> Float:
    """Return the balanced accuracy of each classifier: the mean recall of the classes, float64 [S].

    Args:
        right: Whether each classifier is right on each tile, bool [S, N].
        labels: True labels, str [N].
    """
    hits, tiles = _counts(right, labels, np.full(len(labels), ""))
    return _mean_recall(hits[0], tiles[0])


def bootstrap_accuracies(
    right: Bool, labels: Strings, groups: Strings, *, resamples: int = RESAMPLES, seed: int = 0
) -> Float:
    """Compute the balanced accuracies of each classifier in resamples of the groups.

    A resample draws as many groups as there are, with replacement, and takes all tiles of each: the tiles of
    a group are alike, so that a bootstrap of tiles would make the intervals too narrow. A class that a
    resample lacks does not count in it.

    Args:
        right: Whether each classifier is right on each tile, bool [S, N].
        labels: True labels, str [N].
        groups: Names of the groups, str [N].
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        float64 [resamples, S]. All classifiers have the same resamples, so that differences are paired.
    """
    hits, tiles = _counts(right, labels, groups)
    flat, drawn = hits.reshape(len(hits), -1), []
    for weights in _draws(len(tiles), resamples, seed):
        of_classifiers = (weights @ flat).reshape(len(weights), *hits.shape[1:])
        drawn.append(_mean_recall(of_classifiers, (weights @ tiles)[:, None]))
    return np.concatenate(drawn)


def _counts(right: Bool, labels: Strings, groups: Strings) -> tuple[Float, Float]:
    """Return right predictions, float64 [groups, S, classes], and tiles, float64 [groups, classes]."""
    of_class, of_group = (np.unique(values, return_inverse=True)[1] for values in (labels, groups))
    shape = (int(of_group.max()) + 1, int(of_class.max()) + 1)
    cells, size = of_group * shape[1] + of_class, shape[0] * shape[1]
    hits = [np.bincount(cells, row, minlength=size).reshape(shape) for row in right]
    return np.stack(hits, axis=1), np.bincount(cells, minlength=size).reshape(shape).astype(np.float64)


def _mean_recall(hits: Float, tiles: Float) -> Float:
    """Return the mean over the last axis of hits / tiles, for those classes that have tiles."""
    recall = hits / np.maximum(tiles, 1)
    return np.asarray(recall.sum(-1) / (tiles > 0).sum(-1), np.float64)


def _draws(groups: int, resamples: int, seed: int) -> Iterator[Float]:
    """Yield how often each group is drawn in some of the resamples, float64 [B, groups]."""
    rng, block = np.random.default_rng(seed), max(1, BLOCK // groups)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        cells = rng.integers(groups, size=(size, groups)) + groups * np.arange(size)[:, None]
        yield np.bincount(cells.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)
