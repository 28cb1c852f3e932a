"""Comparison of two exported models on real tiles, for example of an int8 model or a new checkpoint."""

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
# Limits that fp16 exports keep for every tile and for clusters, and int8 exports on average (docs/export.md).
SAME, SAME_CLUSTERS, CLOSE = 0.999, 0.995, 0.97


@dataclass(frozen=True)
class Tile:
    """A tile image with its label and split in the table."""

    path: Path
    label: str = ""
    split: str = ""


@dataclass
class Comparison:
    """Result of `compare`.

    Attributes:
        tiles: Number of compared tiles.
        same_neighbour: Share of tiles with the same nearest neighbour in both models.
        images_per_s: Images per second of each model, the median over alternating passes.
        difference: Difference of B from A; None if their features have different widths.
        knn: Macro F1 and balanced accuracy of each model by nearest neighbours; None without labels.
        notes: Notes on the interpretation of the results.
    """

    tiles: int
    same_neighbour: float
    images_per_s: tuple[float, float]
    difference: Difference | None = None
    knn: tuple[dict[str, float], dict[str, float]] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether B can take the place of A, by the limits of exports."""
        found = self.difference
        if found is None or not found.centred_cosine >= CLOSE:
            return "B is another encoder than A: never mix their features"
        clusters = 1.0 if found.cluster_agreement is None else found.cluster_agreement
        if found.min_centred_cosine >= SAME and clusters >= SAME_CLUSTERS:
            return "B can take the place of A: as close as fp16 exports have to be"
        if found.min_centred_cosine >= SAME:
            others = f"{100 * (1 - clusters):.1f} % of the tiles get another cluster, near-ties included"
            return f"B is close to A: its features can take the place of A's, but {others}"
        return "B is close to A, as int8 exports have to be: use one of them for all slides of a study"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "tiles": self.tiles,
            "verdict": self.verdict,
            "difference": self.difference.to_dict() if self.difference else None,
            "same_neighbour": self.same_neighbour,
            "knn": list(self.knn) if self.knn else None,
            "images_per_s": list(self.images_per_s),
            "notes": self.notes,
        }


def find_tiles(source: Path, limit: int = 2000) -> list[Tile]:
    """List the tile images of a folder or a table.

    Args:
        source: A folder (searched at any depth), or a CSV, TSV or Parquet file with a column `path` and
            optional columns `label` and `split`.
        limit: Maximum number of tiles. If there are more, a reproducible random sample is taken.

    Raises:
        UsageError: If there are fewer than two tiles.
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
        raise UsageError("expected a folder of tile images, or a CSV that lists them", where=source)
    if len(found) < 2:
        raise UsageError(f"{len(found)} tile images found", where=source, remedy="give some hundred")
    if len(found) > limit:
        found = [found[n] for n in sorted(random.Random(0).sample(range(len(found)), limit))]
    return found


def compare(a: Encoder, b: Encoder, tiles: Sequence[Tile], *, batch_size: int = 32) -> Comparison:
    """Compare two models on tiles.

    Args:
        a: Reference model.
        b: Model to compare with `a`.
        tiles: Tile images. Their central square is reduced to the tile size of each model by area averaging.
        batch_size: Number of tiles to encode at once.

    Raises:
        TileError: If a tile cannot be read, or is smaller than the tiles of a model.
        MissingExtraError: If tiles have labels and scikit-learn is not installed.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed import load_encoder
        >>> from wsi_embed.evaluate.compare import compare, find_tiles
        >>> model = load_encoder("model.onnx", device="cpu")
        >>> compare(model, model, find_tiles(Path("tiles.csv"))).same_neighbour
        1.0
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
    """Return the nearest other tile of each tile, by the cosine of centred features."""
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
    """Measure tiles per second of each model without decoding, in alternating passes."""
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
