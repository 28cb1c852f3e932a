"""Level of an OME-Zarr: the chunks of an array, decoded by Zarr."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Literal

import cv2
import numpy as np
import zarr

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import UInt8Array, unreadable
from wsi_embed.slide.compressed_level import Layout
from wsi_embed.slide.levels.missing_tiles import StoredTiles
from wsi_embed.slide.ome_zarr.chunk_cache import CACHE
from wsi_embed.slide.ome_zarr.files import ZarrFiles
from wsi_embed.slide.ome_zarr.metadata import CONVERT
from wsi_embed.slide.tiff.level import MOST_TILES

# A chunk is decoded as a whole.
MOST_CHUNK_BYTES = 1 << 28
COLOURS = 3


class ZarrLevel:
    """Array of RGB pixels. Several threads may read it.

    Chunks that are not stored have the fill value, as Zarr defines it.

    Args:
        files: Files of the OME-Zarr.
        path: Path of the array, relative to the root.
        axes: Names of its axes.

    Attributes:
        layout: Layout of the chunks.
        missing: False for each chunk, bool [chunks]: all of them have pixels.

    Raises:
        SlideError: If its pixels are not RGB of 8 bits, or its metadata are invalid.
    """

    def __init__(self, files: ZarrFiles, path: str, axes: Sequence[str]) -> None:
        self._files, self._path = files, path
        self._axes = tuple(axes)
        self._array = _open_array(files, path)
        _check_pixels(self._array, self._axes)
        chunks = self._array.chunks
        if min(*chunks, *(self._array.shards or chunks)) < 1:
            raise SlideError(f"its chunks have no pixels ({_times(chunks)})", where=path)
        if math.prod(chunks) > MOST_CHUNK_BYTES:
            raise SlideError(
                f"its chunks are too large ({_times(chunks)})",
                where=path,
                remedy="write it in smaller chunks",
            )
        width, height = (self._array.shape[axes.index(axis)] for axis in "xy")
        # a chunk may be larger than the array
        sides = (min(chunks[axes.index(a)], side) for a, side in (("x", width), ("y", height)))
        self.layout = Layout(width, height, *sides)
        if self.layout.tiles > MOST_TILES:
            raise SlideError(
                f"has {width} x {height} pixels in chunks of {_times(chunks)}, {self.layout.tiles:,} of "
                f"them; at most {MOST_TILES:,} are read",
                where=path,
                remedy="is its `shape` right? else write it in larger chunks",
            )
        self.missing = np.zeros(self.layout.tiles, np.bool_)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.layout.width, self.layout.height

    @property
    def fill(self) -> Any:
        """Value of pixels in chunks that are not stored."""
        return self._array.fill_value

    def decode(self, tile: int, out: UInt8Array) -> None:
        """Decode one chunk.

        Args:
            tile: Number of the chunk in row-major order.
            out: Array for the pixels, uint8 [tile_height, tile_width, 3]; beyond the level's edge it is left.

        Raises:
            SlideError: If the chunk is damaged.
        """
        row, column = divmod(tile, self.layout.across)
        x, y = column * self.layout.tile_width, row * self.layout.tile_height
        w = min(self.layout.tile_width, self.layout.width - x)
        h = min(self.layout.tile_height, self.layout.height - y)
        parts: dict[str, slice | int] = {"x": slice(x, x + w), "y": slice(y, y + h), "c": slice(0, COLOURS)}
        try:
            block = self._array[tuple(parts.get(axis, 0) for axis in self._axes)]
        except Exception as error:  # codecs raise exceptions of all kinds
            raise unreadable(self._files.path, f"chunk {row}, {column} of {self._path}: {error}") from error
        out[:h, :w] = _interleaved(np.asarray(block, np.uint8), [a for a in self._axes if a in parts])

    def read(self, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region that lies entirely inside the level: uint8 [h, w, 3].

        Raises:
            SlideError: If a chunk is damaged.
        """
        out = np.empty((h, w, 3), np.uint8)
        for tile, region, part in self.layout.parts(x, y, w, h):
            out[region] = CACHE.get(self, tile, partial(self._decoded, tile))[part]
        return out

    def _decoded(self, tile: int) -> UInt8Array:
        pixels = np.empty(self.layout.tile_shape, np.uint8)
        self.decode(tile, pixels)
        return pixels

    def close(self) -> None:
        """Release the decoded chunks."""
        CACHE.forget(self)

    @cached_property
    def stored(self) -> StoredTiles:
        """Stored chunks, or shards of chunks.

        Raises:
            OSError: If a folder cannot be listed.
        """
        across, down = self._axes.index("x"), self._axes.index("y")
        sides = self._array.shards or self._array.chunks
        side = min(sides[across], self.layout.width), min(sides[down], self.layout.height)
        found = np.zeros((-(-self.layout.height // side[1]), -(-self.layout.width // side[0])), np.int64)
        start, place_of = f"{self._path}/", _places(self._array)
        for name, size in self._files.sizes.items():
            if name.startswith(start) and (place := place_of.fullmatch(name, len(start))):
                row, column = int(place[down + 1]), int(place[across + 1])
                if row < found.shape[0] and column < found.shape[1]:
                    found[row, column] += size
        return StoredTiles(found, side)


def _open_array(files: ZarrFiles, path: str) -> zarr.Array[Any]:
    formats: dict[Literal[2, 3], str] = {3: f"{path}/zarr.json", 2: f"{path}/.zarray"}
    version = next((number for number, name in formats.items() if name in files.sizes), None)
    if version is None:
        raise SlideError("is not there", where=path, remedy="is it complete? copy it again")
    try:
        # version 2 and 3 may lie beside each other
        return zarr.open_array(files.store, path=files.root + path, mode="r", zarr_format=version)
    except Exception as error:  # Zarr raises exceptions of all kinds for invalid metadata
        text = re.sub(r"\s+", " ", str(error)).replace("''", "'")[:200]
        raise SlideError(f"cannot be opened by Zarr ({text})", where=path, remedy=CONVERT) from error


def _check_pixels(array: zarr.Array[Any], axes: Sequence[str]) -> None:
    shape = array.shape
    if len(shape) != len(axes):
        raise SlideError(f"its arrays have {len(shape)} axes, and its metadata {len(axes)}")
    if array.dtype != np.uint8:
        bits = "has more than 8 bits a channel" if array.dtype.itemsize > 1 else "has signed pixels"
        raise SlideError(f"{bits} ({array.dtype})", remedy="convert it to 8-bit RGB")
    several = [f"{axis} ({n})" for axis, n in zip(axes, shape, strict=True) if axis not in "xyc" and n != 1]
    if several:
        raise SlideError(f"has several planes along {', '.join(several)}", remedy="save one of them")
    channels = shape[axes.index("c")] if "c" in axes else 1
    if channels != COLOURS:
        count = "one channel" if channels == 1 else f"{channels} channels"
        raise SlideError(f"has {count}, not red, green and blue", remedy="convert it to 8-bit RGB")
    if not math.prod(shape):
        raise SlideError(f"has no pixels ({_times(shape)})")


def _interleaved(block: UInt8Array, axes: Sequence[str]) -> UInt8Array:
    """Return pixels as [h, w, 3], whatever the order of the axes."""
    planes = block.transpose([axes.index(axis) for axis in "cyx"])
    if axes[-1] == "c":
        return planes.transpose(1, 2, 0)
    # several times as fast as a transposed copy
    return np.asarray(cv2.merge([np.ascontiguousarray(plane) for plane in planes]), np.uint8)


def _places(array: zarr.Array[Any]) -> re.Pattern[str]:
    """Return the pattern of the keys of an array's chunks (`c/0/1/2`, `0.1.2`), with a group for each index.

    A file whose name has another separator than the metadata say is no chunk, and Zarr does not read it.
    """
    first = array.metadata.encode_chunk_key((0,) * array.ndim)
    return re.compile(re.escape(first).replace("0", "([0-9]+)"))


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))
