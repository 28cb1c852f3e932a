"""Scores and paired differences of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.evaluate.bootstrap import Float, balanced_accuracies, bootstrap_accuracies
from wsi_embed.evaluate.folds import Folds
from wsi_embed.evaluate.interval import Interval, percentile_interval, spread_notes
from wsi_embed.evaluate.results import results_in, write_json, write_table
from wsi_embed.evaluate.tile_set import Strings

# Predicted label of each tile by (classifier, features).
Predicted = Mapping[tuple[str, str], Strings]
Seen = Mapping[str, dict[str, Any] | None]


@dataclass(frozen=True)
class FoldScores:
    """Result of one classifier on one kind of features.

    Attributes:
        features: Name of the features.
        classifier: `1-NN`, `5-NN` and so on, `ridge` or `logistic`.
        balanced_accuracy: Balanced accuracy of the predictions of all folds together, with the percentile
            interval of a bootstrap over groups.
        folds: Balanced accuracy of each fold.
        predicted: Predicted label of each tile, by the classifier that was trained on the other folds.
    """

    features: str
    classifier: str
    balanced_accuracy: Interval
    folds: tuple[float, ...]
    predicted: Strings

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values for JSON."""
        return {
            "features": self.features,
            "classifier": self.classifier,
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "folds": list(self.folds),
        }


@dataclass(frozen=True)
class PairedDifference:
    """Difference of the balanced accuracies of two kinds of features, with its interval.

    Both are scored on the same resampled groups, so what makes a resample easy for both cancels out.

    Attributes:
        features: Name of the features.
        baseline: Name of those that are subtracted.
        classifier: Name of the classifier.
        balanced_accuracy: The difference.
    """

    features: str
    baseline: str
    classifier: str
    balanced_accuracy: Interval

    @property
    def verdict(self) -> str:
        """`better` or `worse` if the interval is above or below zero, else `undecided`."""
        low, high = self.balanced_accuracy.low, self.balanced_accuracy.high
        if low is None or high is None or low <= 0 <= high:
            return "undecided"
        return "better" if low > 0 else "worse"

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as plain values for JSON."""
        return {
            "features": self.features,
            "baseline": self.baseline,
            "classifier": self.classifier,
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class CrossValidation:
    """Result of `cross_validate`.

    Attributes:
        folds: The folds.
        resamples: Number of resamples behind each interval.
        scores: Scores by classifier, and within it in the order of the features.
        differences: Differences between all pairs of features by classifier.
        seen: By name of the features, the tiles that the model was trained on; None if unknown.
        notes: Notes on the interpretation of the results.
    """

    folds: Folds
    resamples: int
    scores: list[FoldScores]
    differences: list[PairedDifference]
    seen: Seen
    notes: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        tiles = self.folds.tiles
        names, counts = np.unique(tiles.labels, return_counts=True)
        return {
            "tiles": len(tiles),
            "groups": len(np.unique(tiles.groups)),
            "classes": dict(zip(names.tolist(), counts.tolist(), strict=True)),
            "folds": self.folds.count,
            "seed": self.folds.seed,
            "resamples": self.resamples,
            "scores": [scores.to_dict() for scores in self.scores],
            "differences": [difference.to_dict() for difference in self.differences],
            "seen_in_training": dict(self.seen),
            "notes": list(self.notes),
        }


def scored(
    folds: Folds, predicted: Predicted, *, resamples: int, seen: Seen, notes: Sequence[str]
) -> CrossValidation:
    """Score predictions, and compare those of the same classifier.

    Args:
        folds: The folds.
        predicted: Predicted labels of all tiles by classifier and name of the features.
        resamples: Number of resamples of the bootstrap.
        seen: By name of the features, the tiles that the model was trained on.
        notes: Notes on the interpretation of the results.
    """
    tiles = folds.tiles
    right = np.stack([given == tiles.labels for given in predicted.values()])
    drawn = bootstrap_accuracies(right, tiles.labels, tiles.groups, resamples=resamples, seed=folds.seed)
    of_folds = [balanced_accuracies(right[:, test], tiles.labels[test]) for _, test in folds]
    means = balanced_accuracies(right, tiles.labels).tolist()
    scores = [
        FoldScores(
            name,
            kind,
            percentile_interval(means[n], drawn[:, n]),
            tuple(float(values[n]) for values in of_folds),
            given,
        )
        for n, ((kind, name), given) in enumerate(predicted.items())
    ]
    notes = (*notes, *spread_notes(score.balanced_accuracy for score in scores))
    return CrossValidation(folds, resamples, scores, _differences(scores, drawn), seen, notes)


def _differences(scores: Sequence[FoldScores], drawn: Float) -> list[PairedDifference]:
    """Return the differences between the features by the same classifier, the later minus the earlier."""
    found = []
    for (m, before), (n, after) in combinations(enumerate(scores), 2):
        if before.classifier == after.classifier:
            mean = after.balanced_accuracy.mean - before.balanced_accuracy.mean
            interval = percentile_interval(mean, drawn[:, n] - drawn[:, m])
            found.append(PairedDifference(after.features, before.features, after.classifier, interval))
    return found


def write_cross_validation(result: CrossValidation, folder: Path) -> list[Path]:
    """Write `scores.json`, and `predictions.csv` with the predicted labels of each tile.

    Args:
        result: The result.
        folder: Folder of the files, created if needed.

    Returns:
        Paths of the files.

    Raises:
        WsiEmbedError: If the files cannot be written.
    """
    files = [folder / "scores.json", folder / "predictions.csv"]
    tiles, scores = result.folds.tiles, result.scores
    columns = [tiles.names, tiles.groups, result.folds.of_tile, tiles.labels, *(s.predicted for s in scores)]
    with results_in(folder):
        write_json(files[0], result.to_dict())
        heads = [f"{one.features}: {one.classifier}" for one in scores]
        write_table(files[1], [["tile", "group", "fold", "label", *heads], *zip(*columns, strict=True)])
    return files
