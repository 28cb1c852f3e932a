"""Scores of a classification, and the picture of what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.util.atomic_files import replacing

# Of more classes than this the picture shows no numbers: they would lie over each other.
NUMBERED = 20


@dataclass(frozen=True)
class ClassScores:
    """Of one class: how many were of it, and precision, recall and F1 (0 where undefined)."""

    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Scores over the classes that occur, truly or as a prediction.

    Attributes:
        accuracy: Share of right predictions.
        balanced_accuracy: Mean recall of the classes that truly occur.
        f1_macro: Mean F1 of all classes.
        classes: By name, in order.
        confusion: Counts, [true][predicted], in the order of the classes.
    """

    accuracy: float
    balanced_accuracy: float
    f1_macro: float
    classes: dict[str, ClassScores]
    confusion: list[list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def score(labels: Sequence[str], predicted: Sequence[str]) -> Scores:
    """Compare predictions with labels, one of each at least."""
    from sklearn.metrics import precision_recall_fscore_support  # a tenth of what a training's start takes

    names = sorted({*labels, *predicted})
    precision, recall, f1, count = precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=0.0
    )
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, (np.searchsorted(names, labels), np.searchsorted(names, predicted)), 1)
    columns = zip(count.tolist(), precision.tolist(), recall.tolist(), f1.tolist(), strict=True)
    return Scores(
        accuracy=float(np.trace(table) / len(labels)),
        balanced_accuracy=float(recall[count > 0].mean()),
        f1_macro=float(f1.mean()),
        classes={name: ClassScores(*values) for name, values in zip(names, columns, strict=True)},
        confusion=table.tolist(),
    )


def draw_confusion(scores: Scores, out: Path, title: str) -> None:
    """Draw a confusion matrix: counts as numbers, shares of each true class as colour.

    Args:
        scores: With the counts.
        out: The PNG to write.
        title: Above it.
    """
    import matplotlib.figure

    counts = np.array(scores.confusion)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names, side = list(scores.classes), 2.2 + 0.55 * len(counts)
    figure = matplotlib.figure.Figure(figsize=(side + 1.4, side + 0.4), layout="constrained")
    axis = figure.add_subplot()
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(title, fontsize=10)
    if len(names) <= NUMBERED:
        _write_counts(axis, counts, share)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _write_counts(axis: Any, counts: npt.NDArray[np.int_], share: npt.NDArray[np.float64]) -> None:
    for row, column in np.ndindex(counts.shape):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
