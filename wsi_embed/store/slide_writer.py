"""Writer for the group of one slide, which becomes visible with its last write.

A slide that the store has already stays until the new group is complete: that is written into a folder of its
own, and then moved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from wsi_embed.encoder.base import Encoded
from wsi_embed.errors import RemoteError, SlideError, StoreError
from wsi_embed.grid import Float32Array, TileGrid
from wsi_embed.storage.folder import METADATA_FILE, Place, cannot_write
from wsi_embed.storage.zarr_checks import RecordedObjects, checksum, zarr_store
from wsi_embed.store.layout import (
    ArrayLayout,
    StoreSettings,
    array_layouts,
    as_json,
    find_attributes,
    group_digest,
    parse_json,
    written_objects,
)
from wsi_embed.store.members import ABSENT, forget, record
from wsi_embed.store.replacing import committed_attributes, finish_replacing, remove_group, staged
from wsi_embed.tissue import TissueMask

NOTHING: Mapping[str, Float32Array] = MappingProxyType({})


class SlideWriter:
    """Writer for the group of one slide. Rows are appended in grid order; `commit` makes the slide visible.

    Leaving the context without `commit` removes what was written; a group of the slide that was complete
    before is unchanged.

    Args:
        store: Folder of the store.
        slide_id: Slide id.
        grid: The tiles, all of which have to be appended.
        settings: Settings of the store.
        mask: Tissue mask, saved so that thumbnails and polygons can be drawn without the slide.
        quality: Quality of the tiles by measure, float32 [N] each; `commit` writes the values of then.
    """

    def __init__(
        self,
        store: Place,
        slide_id: str,
        grid: TileGrid,
        settings: StoreSettings,
        mask: TissueMask | None = None,
        quality: Mapping[str, Float32Array] = NOTHING,
    ) -> None:
        self.store, self.slide_id = store, slide_id
        self.grid, self.settings, self.mask, self.quality = grid, settings, mask, quality
        self._layouts = array_layouts(len(grid), settings, mask.mask.shape if mask else None, tuple(quality))
        self._rows = 0
        self._committed = False
        self._before = committed_attributes(store / slide_id, settings)
        self.folder = folder = store / slide_id if self._before is None else staged(store, slide_id)
        remove_group(folder)
        try:
            self._objects = RecordedObjects(zarr_store(folder, read_only=False))
            self._group = zarr.create_group(self._objects, zarr_format=3, attributes={"complete": False})
            self._arrays = {name: _create(self._group, name, a) for name, a in self._layouts.items()}
        except OSError as error:
            raise cannot_write(folder, error) from error
        shard = self._layouts["features"]
        self._shard = np.empty(
            (min(shard.shard_rows, max(1, len(grid))), settings.feature_dim), settings.dtype
        )
        self._small: dict[str, npt.NDArray[Any]] = {
            name: np.empty(a.shape, a.dtype)
            for name, a in self._layouts.items()
            if name.startswith("cluster")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._committed:
            with contextlib.suppress(StoreError, RemoteError, OSError):
                if self._before is None:
                    forget(self.store, self.slide_id)
                remove_group(self.folder)

    def append(self, encoded: Encoded) -> None:
        """Append the next rows, in grid order.

        Args:
            encoded: Features and clusters of the next tiles.

        Raises:
            SlideError: If a feature is not finite in the store's dtype.
            StoreError: If the store cannot be written.
            RemoteError: If object storage cannot be reached, or refuses.
        """
        start, stop = self._rows, self._rows + len(encoded.features)
        with np.errstate(over="ignore"):
            features = encoded.features.astype(self.settings.dtype)
        if not np.isfinite(features).all():
            self._refuse(encoded.features, features, start)
        if self._small:
            if encoded.cluster is None or encoded.confidence is None:
                raise SlideError(
                    "the model gives no clusters, its metadata say it does", remedy="export it again"
                )
            self._small["cluster"][start:stop] = encoded.cluster
            self._small["cluster_confidence"][start:stop] = encoded.confidence
        size = len(self._shard)
        while start < stop:
            offset = start % size
            take = min(size - offset, stop - start)
            done = start - self._rows
            self._shard[offset : offset + take] = features[done : done + take]
            start += take
            if start % size == 0:
                self._write("features", slice(start - size, start), self._shard)
        self._rows = stop

    def _refuse(self, features: npt.NDArray[np.float32], cast: npt.NDArray[np.floating], start: int) -> None:
        bad = start + int(np.flatnonzero(~np.isfinite(cast).all(axis=1))[0])
        if np.isfinite(features).all():
            raise SlideError(
                f"features of tile {bad} are too large for {self.settings.dtype}",
                remedy="use `dtype='float32'`",
            )
        raise SlideError(
            f"the model gives features that are not finite (tile {bad})", remedy="check the model"
        )

    def commit(self, attributes: dict[str, Any]) -> None:
        """Write the remaining arrays and the attributes, and mark the slide as complete.

        Args:
            attributes: Attributes of the slide for readers, JSON values.

        Raises:
            StoreError: If the store cannot be written.
            RemoteError: If object storage cannot be reached, or refuses.
        """
        n = len(self.grid)
        if self._rows != n:
            raise RuntimeError(f"{self.folder.name}: {self._rows} of {n} rows were appended")
        if n:
            if tail := n % len(self._shard):
                self._write("features", slice(n - tail, n), self._shard[:tail])
            small = {"coords": self.grid.coords, "grid": self.grid.grid, **self._small, **self.quality}
            small["tissue_fraction"] = self.grid.tissue_fraction
            for name, values in small.items():
                self._write(name, slice(0, n), values)
        if self.mask is not None:
            shape, scale = self.mask.mask.shape, self.mask.scale
            self._write("tissue_mask", slice(0, shape[0]), self.mask.mask)
            attributes = {**attributes, "tissue_mask_shape": shape, "tissue_mask_scale": scale}
        try:
            self._commit(attributes)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _commit(self, attributes: dict[str, Any]) -> None:
        """Read the arrays back, and write the group's document, with which readers see the slide."""
        objects, documents = written_objects(self.folder), self._documents()
        self._compare(objects | {key: checksum(content) for key, content in documents.items()})
        own = {"slide_id": self.slide_id, "model_id": self.settings.model_id}
        whole = as_json({**own, **attributes, "n_tiles": len(self.grid), "objects": objects})
        arrays = {key.partition("/")[0]: parse_json(content) for key, content in documents.items()}
        whole["digest"] = group_digest(whole, arrays)
        if self.store.state(METADATA_FILE) is None:
            raise StoreError(
                "the store was removed while it was written", where=self.store, remedy="run again"
            )
        before = ABSENT if self._before is None else str(self._before.get("digest"))
        record(self.store, self.slide_id, [whole["digest"], before])
        # replaces the group's document atomically; before this, readers do not see the slide
        self._group.update_attributes({**whole, "complete": True})
        if find_attributes(self.folder) != {**whole, "complete": True}:
            raise self._changed(METADATA_FILE)
        self._committed = True  # from here on the next job finishes what fails
        if self._before is not None:
            finish_replacing(self.store, self.slide_id)
        record(self.store, self.slide_id, [whole["digest"]])

    def _documents(self) -> dict[str, bytes]:
        """Read the metadata documents of the arrays, by key."""
        keys = [f"{name}/{METADATA_FILE}" for name in self._layouts]
        try:
            return dict(zip(keys, self.folder.map(self.folder.read, keys), strict=True))
        except FileNotFoundError as error:
            raise self._changed("an array's metadata document") from error

    def _compare(self, there: dict[str, list[int]]) -> None:
        """Check that all objects are there, as they were sent.

        A disk or server may lose or change what it confirmed. Without locks, two jobs may write the same
        slide; this keeps one from committing what the other removed.
        """
        sent = {key: value for key, value in self._objects.objects.items() if key != METADATA_FILE}
        for key in sorted(sent.keys() | there.keys()):
            if there.get(key) != sent.get(key):
                raise self._changed(key)

    def _changed(self, key: str) -> StoreError:
        return StoreError(
            f"{key} is not there as it was written",
            where=self.folder,
            remedy="run again when no other job writes this store",
        )

    def _write(self, name: str, rows: slice, values: npt.NDArray[Any]) -> None:
        try:
            self._arrays[name][rows] = values.astype(self._layouts[name].dtype, copy=False)
        except OSError as error:
            raise cannot_write(self.folder, error) from error


def _create(group: zarr.Group, name: str, layout: ArrayLayout) -> zarr.Array[Any]:
    rest = layout.shape[1:]
    return group.create_array(
        name,
        shape=layout.shape,
        dtype=layout.dtype,
        chunks=(layout.chunk_rows, *rest),
        shards=(layout.shard_rows, *rest) if layout.sharded else None,
        compressors=[ZstdCodec(level=3), Crc32cCodec()] if layout.compressed else [Crc32cCodec()],
        fill_value=layout.fill,
        config={"write_empty_chunks": True},
    )
