"""Layout of a store: the contract with all its readers.

feats.zarr/                     attributes: format_version, model_id, model, settings
  <slide_id>/                   attributes: see `slide_writer`; `complete: true` is written last
    features            (N, D)  float16 or float32
    coords              (N, 2)  int32, (x, y) of the top-left corner, level-0 pixels
    grid                (N, 2)  int32, (row, col)
    cluster             (N,)    int16; absent without a cluster head
    cluster_confidence  (N,)    float16
    tissue_fraction     (N,)    float16
    focus, pen, dark    (N,)    float16; absent without quality; see `wsi_embed.quality.measures`
    tissue_mask         (h, w)  int8, 1 for tissue (within the ROI); its scale is in the attributes
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
from wsi_embed.util.json_text import json_text

FORMAT_VERSION = 1

# Measured (benchmarks/RESULTS.md): larger shards slow down reading whole bags by up to a factor of two,
# larger chunks slow down reading single tiles.
CHUNK_BYTES = 2 * 2**20
SHARD_BYTES = 16 * 2**20


# Settings of a store that follow from its model.
FROM_MODEL = frozenset({"feature_dim", "clusters"})


class DamagedError(StoreError):
    """A group was changed after it was written, or is of another slide or store."""


class ChangedRootError(StoreError):
    """The root attributes of a store were changed after they were written."""


@dataclass(frozen=True)
class StoreSettings:
    """Settings shared by all slides of a store. A store holds a single feature space.

    Attributes:
        model_id: Digest of the model that computed the features.
        tile_px: Side of a tile, pixels.
        mpp: Requested micrometres per pixel of a tile.
        dtype: Data type of the features, `float16` or `float32`.
        feature_dim: Number of features per tile.
        clusters: Number of clusters; None without a cluster head.
    """

    model_id: str
    tile_px: int
    mpp: float
    dtype: str
    feature_dim: int
    clusters: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    def decisive(self) -> dict[str, Any]:
        """Return the settings that determine a slide's arrays; the others follow from the model."""
        settings = {name: value for name, value in asdict(self).items() if name not in FROM_MODEL}
        return {"format_version": FORMAT_VERSION, **settings}


@dataclass(frozen=True)
class ArrayLayout:
    """Shape, dtype, chunks and shards of one array."""

    shape: tuple[int, ...]
    dtype: str
    chunk_rows: int
    shard_rows: int
    fill: float
    compressed: bool = False

    @property
    def sharded(self) -> bool:
        """Whether a stored object holds several chunks."""
        return self.shard_rows > self.chunk_rows

    @property
    def objects(self) -> int:
        """Number of stored objects."""
        return math.ceil(self.shape[0] / self.shard_rows)


def array_layouts(
    n: int,
    settings: StoreSettings,
    mask_shape: Sequence[int] | None = None,
    quality: Sequence[str] = (),
) -> dict[str, ArrayLayout]:
    """Return the layouts of a slide's arrays by name.

    Args:
        n: Number of tiles.
        settings: Settings of the store.
        mask_shape: (h, w) of the tissue mask; None without one.
        quality: Names of the measures of quality.
    """
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
    layouts |= {name: _layout((n,), "float16", nan) for name in quality}
    if mask_shape is not None:
        # features hardly compress, a mask shrinks by a factor of a thousand
        layouts["tissue_mask"] = replace(_layout(tuple(mask_shape), "int8", -1), compressed=True)
    return layouts


def _layout(shape: tuple[int, ...], dtype: str, fill: float) -> ArrayLayout:
    """Return chunks of up to 2 MiB, evenly filled to avoid padding, in shards of up to 16 MiB."""
    n = shape[0]
    row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
    most = max(1, CHUNK_BYTES // row_bytes)
    chunks = max(1, math.ceil(n / most))
    chunk_rows = max(1, math.ceil(n / chunks))
    shard_chunks = min(chunks, max(1, SHARD_BYTES // (chunk_rows * row_bytes)))
    return ArrayLayout(shape, dtype, chunk_rows, chunk_rows * shard_chunks, fill)


def array_documents(folder: Place) -> dict[str, Any]:
    """Read the metadata documents of all arrays in a group, by array name.

    Raises:
        ValueError: If a document cannot be parsed.
    """
    keys = [key for key in folder.files() if key.endswith(f"/{METADATA_FILE}") and key.count("/") == 1]
    return {key.partition("/")[0]: parse_json(folder.read(key)) for key in keys}


def group_digest(attributes: dict[str, Any], documents: dict[str, Any]) -> str:
    """Return a digest of a group's attributes and its arrays' metadata documents.

    Chunks have checksums of their own; the digest covers the rest, so that any change is noticed.
    """
    covered = {k: v for k, v in attributes.items() if k not in ("digest", "complete")}
    return canonical_digest({"attributes": covered, "arrays": documents})


def written_objects(folder: Place) -> dict[str, list[int]]:
    """Return size in bytes and CRC-32 of the chunk and shard objects of a group, by key relative to it.

    Zarr's own checksums detect a damaged object; these also detect an intact object in the wrong place, as an
    interrupted copy may leave behind.
    """
    objects = {}
    for key in folder.files():
        if key.split("/")[1:2] == ["c"]:
            content = folder.read(key)
            objects[key] = [len(content), zlib.crc32(content)]
    return objects


def find_attributes(folder: Place) -> dict[str, Any] | None:
    """Read the attributes of a group; None if there is no group.

    Raises:
        DamagedError: If the metadata document of the group is damaged.
        StoreError: If it cannot be read, so that it is unknown whether there is a group.
        RemoteError: If the server does not answer, so that it is unknown whether there is a group.
    """
    try:
        document = parse_json(folder.read(METADATA_FILE))
        # check all keys, so that no damage goes unnoticed
        if document["zarr_format"] != 3 or document["node_type"] != "group":
            raise ValueError("not a group of Zarr format 3")
        return dict(document["attributes"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot be read ({error.strerror or error})", where=folder) from error
    except (ValueError, LookupError, TypeError) as error:
        raise DamagedError(f"not a readable Zarr group ({error})", where=folder) from error


def read_attributes(folder: Place) -> dict[str, Any]:
    """Read the attributes of a group.

    Raises:
        StoreError: If there is no readable group.
        RemoteError: If the server does not answer, so that it is unknown whether there is a group.
    """
    attributes = find_attributes(folder)
    if attributes is None:
        raise StoreError(f"not a readable Zarr group (no {METADATA_FILE})", where=folder)
    return attributes


def is_group(folder: Place) -> bool:
    """Return whether a folder has the metadata document of a group.

    Raises:
        StoreError: If this cannot be found out.
        RemoteError: If the server does not answer.
    """
    try:
        return folder.state(METADATA_FILE) is not None
    except OSError as error:
        raise StoreError(f"cannot be read ({error.strerror or error})", where=folder) from error


def parse_json(content: bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        ValueError: If it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return a value as a JSON round trip returns it: tuples become lists, keys text."""
    plain: dict[str, Any] = json.loads(json_text(value))
    return plain
