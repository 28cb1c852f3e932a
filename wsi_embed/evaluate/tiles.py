"""Classification of labelled tiles by their features: nearest neighbours and a linear probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.evaluate.knn import classify_by_neighbours
from wsi_embed.evaluate.probe import fit_probe
from wsi_embed.evaluate.results import results_in, write_json, write_table
from wsi_embed.evaluate.scores import Scores, draw_confusion, score
from wsi_embed.evaluate.tile_set import TileFeatures, TileSet
from wsi_embed.util.seed import check_seed


@dataclass(frozen=True)
class Classified:
    """Result of one classifier on the test tiles.

    Attributes:
        name: Readable name of the classifier.
        settings: Settings of the classifier.
        predicted: Predicted label of each test tile.
        scores: Scores of the predictions.
    """

    name: str
    settings: dict[str, Any]
    predicted: list[str]
    scores: Scores


@dataclass
class TileEvaluation:
    """Result of `evaluate_tiles`.

    Attributes:
        train_tiles: Number of training tiles.
        test_tiles: Number of test tiles.
        classified: Result of each classifier by short name: `knn`, `probe`.
        seen: Test data that the model was trained on; None if unknown.
        notes: Notes on the interpretation of the results.
    """

    train_tiles: int
    test_tiles: int
    classified: dict[str, Classified]
    seen: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "train_tiles": self.train_tiles,
            "test_tiles": self.test_tiles,
            **{key: {**c.settings, **c.scores.to_dict()} for key, c in self.classified.items()},
            "seen_in_training": self.seen,
            "notes": self.notes,
        }


def evaluate_tiles(found: TileFeatures, *, k: int = 1, probe: bool = False, seed: int = 0) -> TileEvaluation:
    """Classify the test tiles with the help of the training tiles.

    Args:
        found: Tiles with their features.
        k: Number of neighbours; 1 in the paper.
        probe: Whether to fit a logistic regression as well.
        seed: Seed of the part of the training tiles by which the regularisation of the probe is chosen.

    Raises:
        UsageError: If the tiles cannot be evaluated, there are fewer training tiles than `k`, or features are
            not finite.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed import load_encoder
        >>> from wsi_embed.evaluate.tile_table import encode_table, read_tile_table
        >>> from wsi_embed.evaluate.tiles import evaluate_tiles
        >>> model = load_encoder("model.onnx", device="cpu")
        >>> found = encode_table(read_tile_table(Path("tiles.csv")), model)
        >>> evaluation = evaluate_tiles(found)
        >>> evaluation.test_tiles
        2
    """
    tiles, features, test = found.tiles, found.features, found.tiles.test
    check_seed(seed)
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
    """Write `scores.json`, `predictions.csv` and a confusion matrix for each classifier.

    Args:
        evaluation: The result.
        tiles: The tiles.
        folder: Folder of the files, created if needed.

    Returns:
        Paths of the files.

    Raises:
        WsiEmbedError: If the files cannot be written.
    """
    files = [folder / "scores.json", folder / "predictions.csv"]
    with results_in(folder):
        write_json(files[0], evaluation.to_dict())
        write_table(files[1], _predictions(evaluation.classified, tiles))
        for key, found in evaluation.classified.items():
            files.append(folder / f"confusion-{key}.png")
            draw_confusion(found.scores, files[-1], f"{found.name}, {evaluation.test_tiles:,} test tiles")
    return files


def _predictions(classified: dict[str, Classified], tiles: TileSet) -> Iterator[list[str]]:
    """Yield the rows of `predictions.csv`, the header first."""
    yield ["tile", "slide_id", "label", *classified]
    for n, row in enumerate(np.flatnonzero(tiles.test).tolist()):
        given = [tiles.names[row], tiles.slides[row], tiles.labels[row]]
        yield [*given, *(found.predicted[n] for found in classified.values())]
