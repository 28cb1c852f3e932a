"""Scores and confusion matrix of a classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.util.atomic_files import replacing

# With more classes than this the confusion matrix shows no counts, as they would overlap.
NUMBERED = 20


@dataclass(frozen=True)
class ClassScores:
    """Number of tiles, precision, recall and F1 of one class; undefined scores are 0."""

    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Scores over all classes that occur as label or prediction.

    Attributes:
        accuracy: Share of correct predictions.
        balanced_accuracy: Mean recall of the classes that occur as label.
        f1_macro: Mean F1 of all classes.
        classes: Scores of each class by name, sorted.
        confusion: Counts, [true][predicted], in the order of `classes`.
    """

    accuracy: float
    balanced_accuracy: float
    f1_macro: float
    classes: dict[str, ClassScores]
    confusion: list[list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values for JSON."""
        return asdict(self)


def score(labels: Sequence[str], predicted: Sequence[str]) -> Scores:
    """Score predictions.

    Args:
        labels: True labels, at least one.
        predicted: Predicted labels, in the same order.
    """
    from sklearn.metrics import precision_recall_fscore_support  # slow: a tenth of a training's start

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
    """Draw a confusion matrix with counts as numbers and shares of each true class as colours.

    Args:
        scores: The scores.
        out: PNG file to write.
        title: Title of the figure.
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
