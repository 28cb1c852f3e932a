"""Nearest neighbours by cosine: the paper's tile-level evaluation (k = 1, macro F1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.evaluate.scores import score

Float = npt.NDArray[np.floating]
# Similarities at a time: 128 MiB, and two more copies while the best are found.
BLOCK = 2**25


@dataclass(frozen=True)
class KnnScores:
    """Scores on the test tiles: macro F1, balanced accuracy, and how many tiles there were."""

    f1_macro: float
    balanced_accuracy: float
    train_tiles: int
    test_tiles: int


def nearest_neighbours(
    queries: Float, keys: Float, k: int = 1, block: int | None = None
) -> npt.NDArray[np.intp]:
    """Rows of the k most similar keys by cosine, best first.

    Args:
        queries: [Q, D].
        keys: [N, D], at least k rows.
        k: Neighbours.
        block: Queries compared at a time; by default as many as keep the memory bounded.

    Returns:
        int [Q, k].

    Raises:
        ValueError: k is not between 1 and N.
    """
    if not 1 <= k <= len(keys):
        raise ValueError(f"k = {k} neighbours of {len(keys)} keys")
    unit_keys = _unit(keys)
    block = block or max(1, BLOCK // len(keys))
    found = []
    for start in range(0, len(queries), block):
        similarity = _unit(queries[start : start + block]) @ unit_keys.T
        best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similarity, best, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(best, order, 1))
    return np.concatenate(found) if found else np.empty((0, k), np.intp)


def classify_by_neighbours(train: Float, labels: Sequence[str], test: Float, k: int = 1) -> list[str]:
    """The majority of the labels of the k nearest training features; ties go to the nearer neighbour.

    Args:
        train: [N, D].
        labels: Of the training features, N.
        test: [M, D].
        k: Neighbours; 1 as in the paper.

    Returns:
        M labels.

    Raises:
        ValueError: k is not between 1 and N.
    """
    return [_majority(row) for row in np.asarray(labels)[nearest_neighbours(test, train, k)]]


def evaluate_knn(
    train: Float, train_labels: Sequence[str], test: Float, test_labels: Sequence[str], k: int = 1
) -> KnnScores:
    """Classify test features by their nearest training features, and score that.

    Raises:
        ValueError: k is not between 1 and the number of training features.
    """
    scores = score(test_labels, classify_by_neighbours(train, train_labels, test, k))
    return KnnScores(scores.f1_macro, scores.balanced_accuracy, len(train), len(test))


def _majority(row: npt.NDArray[np.str_]) -> str:
    names, first, counts = np.unique(row, return_index=True, return_counts=True)
    best = min(range(len(names)), key=lambda i: (-counts[i], first[i]))
    return str(names[best])


def _unit(rows: Float) -> npt.NDArray[np.float32]:
    rows = np.asarray(rows, np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
