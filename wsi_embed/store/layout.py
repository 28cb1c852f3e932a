"""What lies where in a store. The contract with everyone who reads one.

feats.zarr/                     attributes: format_version, model_id, model, settings
  <slide_id>/                   attributes: see `slide_writer`; `complete: true` is written last
    features            (N, D)  float16 or float32
    coords              (N, 2)  int32, (x, y) of the top-left corner, level-0 pixels
    grid                (N, 2)  int32, (row, col)
    cluster             (N,)    int16; absent without a cluster head
    cluster_confidence  (N,)    float16
    tissue_fraction     (N,)    float16
    tissue_mask         (h, w)  int8, 1 where tissue (within the ROI) was found; scale in the attributes
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.util.digest import canonical_digest

FORMAT_VERSION = 1

# Measured (benchmarks/RESULTS.md): larger shards read whole bags up to twice slower, larger chunks
# read single tiles slower.
CHUNK_BYTES = 2 * 2**20
SHARD_BYTES = 16 * 2**20


@dataclass(frozen=True)
class StoreSettings:
    """What all slides of a store share. A store holds one feature space.

    Attributes:
        model_id: Of the model that made the features.
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile that was asked for.
        dtype: Of the features, `float16` or `float32`.
        feature_dim: Numbers a tile.
        clusters: Outputs of the cluster head; None without one.
    """

    model_id: str
    tile_px: int
    mpp: float
    dtype: str
    feature_dim: int
    clusters: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def decisive(self) -> dict[str, Any]:
        """Plain values that decide a slide's arrays; the rest follows from the model."""
        return {
            "format_version": FORMAT_VERSION,
            "model_id": self.model_id,
            "tile_px": self.tile_px,
            "mpp": self.mpp,
            "dtype": self.dtype,
        }


@dataclass(frozen=True)
class ArrayLayout:
    """Shape, type, chunks and shards of one array."""

    shape: tuple[int, ...]
    dtype: str
    chunk_rows: int
    shard_rows: int
    fill: float
    compressed: bool = False

    @property
    def sharded(self) -> bool:
        """Whether several chunks share an object."""
        return self.shard_rows > self.chunk_rows

    @property
    def objects(self) -> int:
        """How many objects its chunks and shards are."""
        return math.ceil(self.shape[0] / self.shard_rows)


def array_layouts(
    n: int, settings: StoreSettings, mask_shape: Sequence[int] | None = None
) -> dict[str, ArrayLayout]:
    """The arrays of a slide with `n` tiles and a tissue mask of (h, w), by name."""
    nan = float("nan")
    layouts = {
        "features": _layout((n, settings.feature_dim), settings.dtype, nan),
        "coords": _layout((n, 2), "int32", -1),
        "grid": _layout((n, 2), "int32", -1),
        "tissue_fraction": _layout((n,), "float16", nan),
    }
    if settings.clusters is not None:
        layouts["cluster"] = _layout((n,), "int16", -1)
        layouts["cluster_confidence"] = _layout((n,), "float16", nan)
    if mask_shape is not None:
        # features do not compress, a mask does: a thousand times
        layouts["tissue_mask"] = replace(_layout(tuple(mask_shape), "int8", -1), compressed=True)
    return layouts


def _layout(shape: tuple[int, ...], dtype: str, fill: float) -> ArrayLayout:
    """Chunks of up to 2 MiB, evenly filled so that little is padded; shards of up to 16 MiB."""
    n = shape[0]
    row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
    most = max(1, CHUNK_BYTES // row_bytes)
    chunks = max(1, math.ceil(n / most))
    chunk_rows = max(1, math.ceil(n / chunks))
    shard_chunks = min(chunks, max(1, SHARD_BYTES // (chunk_rows * row_bytes)))
    return ArrayLayout(shape, dtype, chunk_rows, chunk_rows * shard_chunks, fill)


def group_digest(folder: Place, attributes: dict[str, Any]) -> str:
    """Digest of a group's attributes and of its arrays' metadata documents.

    Chunks carry checksums of their own; this covers the rest, so that `verify` notices any change.
    """
    documents = [key for key in folder.files() if key.endswith(f"/{METADATA_FILE}") and key.count("/") == 1]
    arrays = {key.partition("/")[0]: json.loads(folder.read(key)) for key in documents}
    kept = {k: v for k, v in attributes.items() if k not in ("digest", "complete")}
    return canonical_digest({"attributes": kept, "arrays": arrays})


def written_objects(folder: Place) -> dict[str, list[int]]:
    """Size in bytes and crc32 of every chunk and shard object below a group, by key relative to it.

    Zarr's own checksums tell a damaged object; these also tell a sound one in the wrong place, as a
    copy that was cut short leaves behind.
    """
    objects = {}
    for key in folder.files():
        if key.split("/")[1:2] == ["c"]:
            content = folder.read(key)
            objects[key] = [len(content), zlib.crc32(content)]
    return objects


def read_attributes(folder: Place) -> dict[str, Any]:
    """Attributes of a group.

    Raises:
        StoreError: If there is no readable group.
        RemoteError: Nobody knows, for the server does not answer.
    """
    try:
        document = json.loads(folder.read(METADATA_FILE))
        # all three keys, so that none of them can be damaged without notice
        if document["zarr_format"] != 3 or document["node_type"] != "group":
            raise ValueError("not a group of Zarr format 3")
        return dict(document["attributes"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(f"{folder}: not a readable Zarr group ({error})") from error


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """What JSON gives back: tuples as lists, keys as text."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
