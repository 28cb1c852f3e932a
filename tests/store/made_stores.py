"""Small stores made from code, by tests and by the processes they start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.encoder.base import Encoded
from wsi_embed.encoder.metadata import ModelMetadata
from wsi_embed.grid import ReadPlan, TileGrid
from wsi_embed.store import StoreSettings, StoreWriter

DIM = 4


def make_grid(n: int) -> TileGrid:
    """`n` tiles, four a row, whose numbers all differ between x and y, row and column."""
    row_col = np.stack(np.divmod(np.arange(n), 4), axis=1).astype(np.int32)
    tissue = np.linspace(0.25, 1, n, dtype=np.float32)
    return TileGrid(
        ReadPlan(1, 200, 224, 0.5), 200, (4.0, 4.0), row_col, row_col[:, ::-1] * np.int32(200), tissue
    )


def make_settings(
    dtype: str = "float16",
    dim: int = DIM,
    clusters: int | None = 3,
    model_id: str = "sha256:a",
    mpp: float = 0.5,
) -> StoreSettings:
    return StoreSettings(model_id, 224, mpp, dtype, dim, clusters)


def make_model(settings: StoreSettings) -> ModelMetadata:
    return ModelMetadata(
        "tiny",
        "clubyol",
        "resnet18",
        settings.tile_px,
        settings.mpp,
        (0.5, 0.5, 0.5),
        (0.2, 0.2, 0.2),
        settings.feature_dim,
        settings.clusters,
        "fp32",
        settings.model_id,
        created="2026-01-01",
    )


def make_encoded(n: int, settings: StoreSettings, seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, settings.feature_dim), np.float32)
    if settings.clusters is None:
        return Encoded(features)
    return Encoded(features, rng.integers(0, settings.clusters, n), rng.random(n, np.float32))


def open_writer(path: Path, settings: StoreSettings) -> StoreWriter:
    return StoreWriter(path, settings, make_model(settings))


def batch_of(encoded: Encoded, rows: slice) -> Encoded:
    if encoded.cluster is None or encoded.confidence is None:
        return Encoded(encoded.features[rows])
    return Encoded(encoded.features[rows], encoded.cluster[rows], encoded.confidence[rows])


def write_slide(
    store: StoreWriter,
    slide_id: str,
    encoded: Encoded,
    batch: int = 5,
    attributes: dict[str, Any] | None = None,
) -> None:
    n = len(encoded.features)
    with store.slide(slide_id, make_grid(n)) as writer:
        for start in range(0, n, batch):
            writer.append(batch_of(encoded, slice(start, start + batch)))
        writer.commit({"mpp": 0.25, **(attributes or {})})


def object_bytes(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, by key."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def chunk_keys(folder: Path) -> list[str]:
    """Chunk and shard objects below a folder."""
    return [key for key in object_bytes(folder) if not key.endswith(".json")]
