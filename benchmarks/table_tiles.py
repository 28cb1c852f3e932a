"""Tile-level table of the paper: nearest neighbours of labelled tiles."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed import load_encoder
from wsi_embed.encoder.encode_images import image_batches
from wsi_embed.evaluate.colour_histogram import colour_histogram
from wsi_embed.evaluate.compare_encoders import compare_encoders
from wsi_embed.evaluate.store_labels import labels_by_regions
from wsi_embed.evaluate.store_tiles import read_splits, store_tiles
from wsi_embed.evaluate.tile_set import TileFeatures, TileSet
from wsi_embed.evaluate.tile_table import encode_table, read_tile_table
from wsi_embed.evaluate.tiles import evaluate_tiles
from wsi_embed.store import Store

# Nearest neighbour (k = 1), macro F1, on tiles of CAMELYON16 (Wu et al., ICCV 2023).
PAPER = {
    "simclr": 0.656, "swav": 0.615, "pcl": 0.382, "barlow": 0.681, "byol": 0.441, "clubyol-paper": 0.768,
    "simsiam": 0.511, "clusiam": 0.730,
}  # fmt: skip
BATCH = 64
ALL = "all"
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class ImageTiles:
    """Labelled tile images.

    Attributes:
        source: Table for `wsi-embed eval knn --tiles`.
        organs: Whether labels are ORGAN_CLASS and organs are separate tasks.
    """

    source: Path
    organs: bool

    def score(self, model: Path) -> Scores:
        """Score the features of an exported model."""
        tiles = encode_table(read_tile_table(self.source), load_encoder(model, device="auto"), BATCH)
        return by_task(tiles, self.organs)

    def score_histograms(self, model: Path) -> Scores:
        """Score colour histograms of tiles at the size used by a model."""
        table, px = read_tile_table(self.source), load_encoder(model, device="cpu").metadata.tile_px
        rows = [colour_histogram(tile) for batch in image_batches(table.paths, px, BATCH) for tile in batch]
        return by_task(TileFeatures(table.tiles, np.stack(rows)), self.organs)


@dataclass(frozen=True)
class FoldedTiles:
    """Labelled tile images in folds that are disjoint by group.

    Attributes:
        source: Table for `wsi-embed eval knn --tiles`.
        folds: Number of folds.
        group: Column of the groups.
    """

    source: Path
    folds: int
    group: str

    def score(self, model: Path) -> Scores:
        """Score the features of an exported model."""
        return self._scores(model, histogram=False)[-1]

    def score_histograms(self, model: Path) -> Scores:
        """Score colour histograms of the tiles. The model is needed for the comparison only."""
        return self._scores(model, histogram=True)[0]

    def _scores(self, model: Path, *, histogram: bool) -> list[Scores]:
        """Return the scores of the histogram, if wanted, and of the model."""
        compared = compare_encoders(
            self.source, [model], folds=self.folds, group=self.group, colour_histogram=histogram
        )
        features = dict.fromkeys(score.features for score in compared.scores)
        return [
            {ALL: {s.classifier: s.balanced_accuracy.mean for s in compared.scores if s.features == name}}
            for name in features
        ]


@dataclass(frozen=True)
class StoreTiles:
    """Tiles of a store, labelled by the annotated region that contains their centre.

    Attributes:
        annotations: Annotation files.
        classes: Labels by class of region.
        rest: Label of tiles outside the regions.
        splits: Table with `slide_id` and `split`.
    """

    annotations: Path
    classes: Mapping[str, str]
    rest: str | None
    splits: Path

    def score(self, store: Store) -> Scores:
        """Score the features of a store."""
        labels = labels_by_regions(store, self.annotations, self.classes, self.rest)
        return by_task(store_tiles(store, labels, read_splits(store, self.splits)), organs=False)


def by_task(found: TileFeatures, organs: bool) -> Scores:
    """Score the nearest training tile of each test tile, optionally for each organ separately."""
    tasks = np.array([label.partition("_")[0] if organs else ALL for label in found.tiles.labels])
    scores = {}
    for task in sorted(set(tasks.tolist())):
        said = evaluate_tiles(part_of(found, tasks == task)).classified["knn"].scores
        scores[task] = {"F1": said.f1_macro, "balanced accuracy": said.balanced_accuracy}
    return scores


def part_of(found: TileFeatures, rows: npt.NDArray[np.bool_]) -> TileFeatures:
    """Select some of the tiles."""
    tiles, names = found.tiles, [found.tiles.names[n] for n in np.flatnonzero(rows).tolist()]
    part = TileSet(
        tiles.source, names, tiles.labels[rows], tiles.test[rows], tiles.groups[rows], tiles.slides[rows],
        tiles.patients[rows],
    )  # fmt: skip
    return TileFeatures(part, found.features[rows])


def print_tiles(rows: Mapping[str, list[Scores]]) -> None:
    """Print one line per method: mean, minimum and maximum over trainings, and the paper's F1 beside F1."""
    paper = {name: f"{value:.3f}" for name, value in PAPER.items()}
    columns = [(task, name) for task, scores in next(iter(rows.values()))[0].items() for name in scores]
    print_table(
        [name if task == ALL else f"{task}: {name}" for task, name in columns],
        {
            row: [[each[task][name] for task, name in columns] for each in known]
            for row, known in rows.items()
        },
        "paper: F1",
        paper if any(name == "F1" for _, name in columns) else None,
    )


def print_table(
    heads: list[str],
    rows: Mapping[str, list[list[float | None]]],
    paper_head: str,
    paper: Mapping[str, str] | None,
) -> None:
    """Print a Markdown table of mean, minimum and maximum over trainings, and the paper, if given."""
    last = [] if paper is None else [paper_head]
    print("| " + " | ".join(["features", "trainings", *heads, *last]) + " |")
    print("|" + "---|" * (len(heads) + len(last) + 2))
    for name, known in rows.items():
        cells = [spread(values) for values in zip(*known, strict=True)]
        cells += [] if paper is None else [paper.get(name, "")]
        print("| " + " | ".join([name, str(len(known)), *cells]) + " |")
    print()


def spread(values: Iterable[float | None]) -> str:
    """Format mean, minimum and maximum of the values that are not None."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return "".join(f"{value:.3f}" for value in known) or "-"
    return f"{statistics.mean(known):.3f} ({min(known):.3f} to {max(known):.3f})"
