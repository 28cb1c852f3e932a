"""How do two exported models differ on real tiles: is int8, or a new checkpoint, safe?"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.encoder import Encoder
from wsi_embed.encoder.difference import Difference, difference
from wsi_embed.encoder.encode_images import encode_images, image_batches
from wsi_embed.errors import UsageError
from wsi_embed.inputs.folders import folder_files
from wsi_embed.inputs.tables import MANIFEST_SUFFIXES, read_manifest
from wsi_embed.slide.tile_images import PICTURE_SUFFIXES, PLAIN_SUFFIXES, TIFF_SUFFIXES

PASSES = 5


@dataclass(frozen=True)
class Tile:
    """A tile image, and what a table says of it."""

    path: Path
    label: str = ""
    split: str = ""


@dataclass
class Comparison:
    """What was found.

    Attributes:
        tiles: How many were compared.
        same_neighbour: Share of tiles whose nearest other tile is the same in both.
        images_per_s: Of each model, median of passes that took turns.
        difference: Of B from A; None where their features have different widths.
        knn: Macro F1 and balanced accuracy of the nearest neighbour for each; None without labels.
        notes: What to bear in mind.
    """

    tiles: int
    same_neighbour: float
    images_per_s: tuple[float, float]
    difference: Difference | None = None
    knn: tuple[dict[str, float], dict[str, float]] | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "tiles": self.tiles,
            "difference": self.difference.to_dict() if self.difference else None,
            "same_neighbour": self.same_neighbour,
            "knn": list(self.knn) if self.knn else None,
            "images_per_s": list(self.images_per_s),
            "notes": self.notes,
        }


def find_tiles(source: Path, limit: int = 2000) -> list[Tile]:
    """Tile images of a folder, or of a table with a column `path` and where wanted `label` and `split`.

    Args:
        source: A folder (searched at any depth), or a CSV, TSV or Parquet file.
        limit: Of more tiles than this a random sample is taken, always the same.

    Raises:
        UsageError: There are fewer than two.
    """
    if source.is_dir():
        kinds = PICTURE_SUFFIXES | PLAIN_SUFFIXES | TIFF_SUFFIXES
        found = [Tile(path) for path in folder_files(source, kinds) if path.suffix.lower() in kinds]
    elif source.is_file() and source.suffix.lower() in MANIFEST_SUFFIXES:
        rows = [row for _, row in read_manifest(source, (("path",), ("label",), ("split",)))]
        found = [
            Tile(source.parent / str(row["path"]), str(row.get("label") or ""), str(row.get("split") or ""))
            for row in rows
        ]
    else:
        raise UsageError(f"{source}: expected a folder of tile images, or a CSV that lists them")
    if len(found) < 2:
        raise UsageError(f"{source}: {len(found)} tile images found; give some hundred")
    if len(found) > limit:
        found = [found[n] for n in sorted(random.Random(0).sample(range(len(found)), limit))]
    return found


def compare(a: Encoder, b: Encoder, tiles: Sequence[Tile], *, batch_size: int = 32) -> Comparison:
    """Encode tiles with two models.

    Args:
        a: The model to compare with.
        b: The other.
        tiles: Each model gets them at its own size: the central square, reduced by area.
        batch_size: Tiles at once.

    Raises:
        TileError: A tile cannot be read, or is smaller than a model's tiles.
        MissingExtraError: Labels are given, and scikit-learn is not installed.
    """
    paths = [tile.path for tile in tiles]
    encoded = [encode_images(model, paths, batch_size) for model in (a, b)]
    features = encoded[0].features, encoded[1].features
    neighbours = [_nearest(each) for each in features]
    return Comparison(
        tiles=len(tiles),
        same_neighbour=float((neighbours[0] == neighbours[1]).mean()),
        images_per_s=_rates((a, b), paths[: 4 * batch_size], batch_size),
        difference=difference(*encoded) if features[0].shape == features[1].shape else None,
        knn=_knn(features, tiles),
        notes=_notes(a, b, tiles),
    )


def _nearest(features: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Of each tile, the other tile that is nearest by cosine of centred features."""
    centred = features - features.mean(0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found = []
    for start in range(0, len(unit), 1024):
        similarity = unit[start : start + 1024] @ unit.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf
        found.append(similarity.argmax(1))
    return np.concatenate(found)


def _rates(models: Sequence[Encoder], paths: Sequence[Path], size: int) -> tuple[float, float]:
    """Tiles a second of each, decoding left out; the models take turns."""
    batches = [list(image_batches(paths, model.metadata.tile_px, size)) for model in models]
    seconds: list[list[float]] = [[], []]
    for _ in range(PASSES):
        for model, given, times in zip(models, batches, seconds, strict=True):
            began = time.perf_counter()
            for batch in given:
                model.encode(batch)
            times.append(time.perf_counter() - began)
    rates = [len(paths) / statistics.median(times) for times in seconds]
    return rates[0], rates[1]


def _knn(
    features: Sequence[npt.NDArray[np.float32]], tiles: Sequence[Tile]
) -> tuple[dict[str, float], dict[str, float]] | None:
    parts = [np.array([t.split == split and bool(t.label) for t in tiles]) for split in ("train", "test")]
    if not all(part.any() for part in parts):
        return None
    from wsi_embed.evaluate import evaluate_knn

    labels = np.array([tile.label for tile in tiles])
    train, test = parts
    scores = [evaluate_knn(f[train], list(labels[train]), f[test], list(labels[test])) for f in features]
    found = [{"f1_macro": s.f1_macro, "balanced_accuracy": s.balanced_accuracy} for s in scores]
    return found[0], found[1]


def _notes(a: Encoder, b: Encoder, tiles: Sequence[Tile]) -> list[str]:
    notes = []
    if a.model_id == b.model_id:
        notes.append("both are the same model")
    if a.feature_dim != b.feature_dim:
        notes.append(f"features have {a.feature_dim} and {b.feature_dim} numbers: no cosine between them")
    if a.mpp != b.mpp:
        notes.append(f"the models want tiles at {a.mpp} and {b.mpp} um per pixel; these are the same images")
    if a.clusters and b.clusters and a.metadata.source_checkpoint != b.metadata.source_checkpoint:
        notes.append("models trained apart number their clusters differently")
    if any(t.label for t in tiles) and not {"train", "test"} <= {t.split for t in tiles}:
        notes.append("nearest-neighbour scores need a column `split` with train and test")
    return notes
