"""Nearest neighbours by cosine: the tile-level evaluation of the CluBYOL paper (k = 1, macro F1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_embed.evaluate.scores import score

Float = npt.NDArray[np.floating]
# Number of similarities computed at a time: 128 MiB, and two more copies during the search.
BLOCK = 2**25


@dataclass(frozen=True)
class KnnScores:
    """Scores on the test tiles, and numbers of tiles."""

    f1_macro: float
    balanced_accuracy: float
    train_tiles: int
    test_tiles: int


def nearest_neighbours(
    queries: Float, keys: Float, k: int = 1, block: int | None = None
) -> npt.NDArray[np.intp]:
    """Return the rows of the k most similar keys by cosine, best first.

    Args:
        queries: Float [Q, D].
        keys: Float [N, D] with N >= k.
        k: Number of neighbours.
        block: Number of queries compared at a time; by default it limits the memory to about 400 MiB.

    Returns:
        int [Q, k].

    Raises:
        ValueError: If k is not between 1 and N.

    Example:
        >>> import numpy as np
        >>> from wsi_embed.evaluate import nearest_neighbours
        >>> nearest_neighbours(np.array([[1.0, 0.1]]), np.array([[0.0, 1.0], [2.0, 0.0]]))
        array([[1]])
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
    """Classify test features by the majority label of their k nearest training features.

    Ties go to the label of the nearest neighbour among them.

    Args:
        train: Training features, float [N, D].
        labels: N labels of the training features.
        test: Test features, float [M, D].
        k: Number of neighbours; 1 in the paper.

    Returns:
        M labels.

    Raises:
        ValueError: If k is not between 1 and N.
    """
    return [_majority(row) for row in np.asarray(labels)[nearest_neighbours(test, train, k)]]


def evaluate_knn(
    train: Float, train_labels: Sequence[str], test: Float, test_labels: Sequence[str], k: int = 1
) -> KnnScores:
    """Classify test features by their nearest training features, and score the predictions.

    Args:
        train: Training features, float [N, D].
        train_labels: N labels of the training features.
        test: Test features, float [M, D].
        test_labels: M labels of the test features.
        k: Number of neighbours.

    Raises:
        ValueError: If k is not between 1 and N.

    Example:
        >>> import numpy as np
        >>> from wsi_embed.evaluate import evaluate_knn
        >>> train, test = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.1, 1.0], [1.0, 0.1]])
        >>> evaluate_knn(train, ["tumour", "stroma"], test, ["tumour", "stroma"]).f1_macro
        1.0
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
