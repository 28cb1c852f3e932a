"""Zarr stores that keep, or compare, size and CRC-32 of the objects of a group.

The chunks of an array have checksums of their own, which notice damage; these also notice an intact object in
the wrong place, one that was lost, and one that was stored otherwise than it was sent.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from wsi_embed.storage.folder import Place

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


def checksum(content: Any) -> list[int]:
    """Return size in bytes and CRC-32 of an object."""
    content = memoryview(content).cast("B")
    return [len(content), zlib.crc32(content)]


def zarr_store(folder: Place, *, read_only: bool) -> Any:
    """Return the Zarr store of a folder."""
    found = folder.zarr
    if isinstance(found, Path):
        return LocalStore(found, read_only=read_only)
    return found.with_read_only(read_only)


def start_zarr() -> None:
    """Let Zarr start its thread, once for a process.

    If that cannot be started, the first call of Zarr raises RuntimeError, and every later one waits for ever.
    """
    zarr.open_group(MemoryStore(), mode="w")


class RecordedObjects(WrapperStore[Any]):
    """Zarr store that records the objects that are written through it.

    Args:
        store: Zarr store to write to.

    Attributes:
        objects: Size in bytes and CRC-32 of each object, as it was sent, by key.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.objects: dict[str, list[int]] = {}

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store that is read-only or not, with the same record."""
        other = super().with_read_only(read_only)
        other.objects = self.objects
        return other

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object, and record it."""
        self.objects[key] = checksum(value.as_numpy_array())
        await super().set(key, value)


class CheckedObjects(WrapperStore[Any]):
    """Zarr store that compares objects with their record whenever they are read as a whole.

    Parts of an object are covered by the checksums of their chunks.

    Args:
        store: Zarr store to read from.
        objects: Size in bytes and CRC-32 of the objects, by key.
    """

    def __init__(self, store: Any, objects: Mapping[str, Sequence[int]]) -> None:
        super().__init__(store)
        self._objects = objects

    def _with_store(self, store: Any) -> Self:
        return type(self)(store, self._objects)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or part of it; None if it does not exist.

        Raises:
            ValueError: If the object is not the one that was recorded.
        """
        value = await super().get(key, prototype, byte_range)
        recorded = self._objects.get(key)
        if value is None or byte_range is not None or recorded is None:
            return value
        if await asyncio.to_thread(checksum, value.as_numpy_array()) != list(recorded):
            raise ValueError(f"{key} is not the object that was written")
        return value
