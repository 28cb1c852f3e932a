"""How well do features tell labelled tiles apart? Nearest neighbours, and a linear probe."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.evaluate.knn import classify_by_neighbours
from wsi_embed.evaluate.probe import fit_probe
from wsi_embed.evaluate.results import results_in, write_json
from wsi_embed.evaluate.scores import Scores, draw_confusion, score
from wsi_embed.evaluate.tile_set import TileFeatures, TileSet
from wsi_embed.util.atomic_files import replacing


@dataclass(frozen=True)
class Classified:
    """How one classifier did on the test tiles.

    Attributes:
        name: For people.
        settings: What it was fitted with.
        predicted: Label of each test tile.
        scores: Against the true labels.
    """

    name: str
    settings: dict[str, Any]
    predicted: list[str]
    scores: Scores


@dataclass
class TileEvaluation:
    """What was found.

    Attributes:
        train_tiles: How many were learned from.
        test_tiles: How many were classified.
        classified: By each classifier, by a short name: `knn`, `probe`.
        seen: What of the test tiles the model was trained on; None where nobody knows.
        notes: What to bear in mind.
    """

    train_tiles: int
    test_tiles: int
    classified: dict[str, Classified]
    seen: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "train_tiles": self.train_tiles,
            "test_tiles": self.test_tiles,
            **{key: {**c.settings, **c.scores.to_dict()} for key, c in self.classified.items()},
            "seen_in_training": self.seen,
            "notes": self.notes,
        }


def evaluate_tiles(found: TileFeatures, *, k: int = 1, probe: bool = False, seed: int = 0) -> TileEvaluation:
    """Classify the test tiles by what the train tiles are.

    Args:
        found: Tiles with their features.
        k: Neighbours; 1 as in the paper.
        probe: Whether to fit a logistic regression, too.
        seed: Of the part of the train tiles that chooses the probe's regularisation.

    Raises:
        UsageError: The tiles cannot be evaluated, there are fewer train tiles than `k`, or features are
            not finite.
    """
    tiles, features, test = found.tiles, found.features, found.tiles.test
    notes = [*tiles.check(k), *found.notes]
    found.check_finite()
    labels, truth = tiles.labels[~test].tolist(), tiles.labels[test].tolist()
    by: dict[str, Classified] = {}
    predicted = classify_by_neighbours(features[~test], labels, features[test], k)
    name = "nearest neighbour" if k == 1 else f"{k} nearest neighbours"
    by["knn"] = Classified(name, {"k": k}, predicted, score(truth, predicted))
    if probe:
        fitted = fit_probe(features[~test], labels, tiles.groups[~test].tolist(), seed)
        predicted = fitted.predict(features[test])
        settings = {"C": fitted.strength}
        by["probe"] = Classified("logistic regression", settings, predicted, score(truth, predicted))
    return TileEvaluation(int((~test).sum()), int(test.sum()), by, found.seen, notes)


def write_evaluation(evaluation: TileEvaluation, tiles: TileSet, folder: Path) -> list[Path]:
    """Write `scores.json`, `predictions.csv` and a confusion matrix of each classifier.

    Returns:
        The files.

    Raises:
        WsiEmbedError: They cannot be written.
    """
    files = [folder / "scores.json", folder / "predictions.csv"]
    with results_in(folder):
        write_json(files[0], evaluation.to_dict())
        with replacing(files[1]) as part:
            _write_predictions(evaluation.classified, tiles, part)
        for key, found in evaluation.classified.items():
            files.append(folder / f"confusion-{key}.png")
            draw_confusion(found.scores, files[-1], f"{found.name}, {evaluation.test_tiles:,} test tiles")
    return files


def _write_predictions(classified: dict[str, Classified], tiles: TileSet, path: Path) -> None:
    rows = np.flatnonzero(tiles.test).tolist()
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["tile", "slide_id", "label", *classified])
        for n, row in enumerate(rows):
            given: Sequence[str] = [tiles.names[row], tiles.slides[row], tiles.labels[row]]
            out.writerow([*given, *(found.predicted[n] for found in classified.values())])
