"""Zarr store of the objects below an address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.store import OffsetByteRequest, RangeByteRequest
from zarr.storage import ObjectStore

from wsi_embed.storage import objects
from wsi_embed.storage.address import Address
from wsi_embed.storage.answers import LARGEST, content_async, wrong_length_as_damage
from wsi_embed.storage.client import check_process, client
from wsi_embed.storage.folder import METADATA_FILE

if TYPE_CHECKING:
    from obstore import GetOptions
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    Base = ObjectStore[Any]
else:
    Base = ObjectStore  # takes no type arguments before zarr 3.1.6


class ZarrObjects(Base):
    """Zarr object store below an address, with our errors, which writes each object with a single request.

    It is restricted to an address because Zarr would otherwise create groups for all parent folders up to the
    bucket. obstore clients with a prefix are no alternative: each takes 40 ms to create and has connections
    of its own, whereas one client serves a whole bucket. Multipart uploads are avoided because killed jobs
    would leave invisible parts behind, which are charged for.

    Args:
        address: Address of the group.
        read_only: Whether writing is refused.
    """

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        super().__init__(client(address), read_only=read_only)
        self.address = address
        self._written: set[str] = set()

    def __str__(self) -> str:
        return str(self.address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrObjects) and self.address == other.address

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (type(self), self.address, self.read_only)

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a copy that is read-only or not."""
        return type(self)(self.address, read_only=read_only)

    def _at(self, key: str) -> str:
        return (self.address / key).key

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or part of it; None if it does not exist.

        Raises:
            StoreError: If the server announces or sends more bytes than are right.
        """
        import obstore

        check_process()
        address = self.address / key
        try:
            with wrong_length_as_damage(), objects.remote_errors(address):
                answer = await obstore.get_async(self.store, self._at(key), options=_options(byte_range))
                return prototype.buffer.from_bytes(await content_async(answer, LARGEST, address))
        except FileNotFoundError:
            return None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    async def exists(self, key: str) -> bool:
        """Return whether an object exists."""
        check_process()
        with objects.remote_errors(self.address / key):
            return await super().exists(self._at(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        import obstore

        self._check_writable()
        with objects.remote_errors(self.address / key):
            await obstore.put_async(self.store, self._at(key), value.as_buffer_like(), use_multipart=False)
        if key == METADATA_FILE:
            self._written.add(key)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object unless it exists.

        Zarr calls this for the group's metadata document when it creates an array. A group has a single
        writer, so checking first is safe, and can be retried if a response is lost. If this instance wrote
        the document, the check is omitted.
        """
        if key not in self._written and not await self.exists(key):
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        with objects.remote_errors(self.address / key):
            await super().delete(self._at(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        async for key, _ in self._below(prefix):
            await self.delete(key)

    async def _below(self, prefix: str) -> AsyncGenerator[tuple[str, int], None]:
        """Yield key and size in bytes of all objects below a prefix."""
        import obstore

        start = len(self.address.key) + 1 if self.address.key else 0
        with objects.remote_errors(self.address):
            async for batch in obstore.list(self.store, prefix=self._at(prefix) or None):
                for found in batch:
                    yield found["path"][start:], found["size"]

    def list(self) -> AsyncGenerator[str, None]:
        """Yield all keys."""
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        """Yield all keys below a prefix."""
        async for key, _ in self._below(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Yield the names directly below a prefix."""
        with objects.remote_errors(self.address):
            async for name in super().list_dir(self._at(prefix)):
                yield name

    async def getsize(self, key: str) -> int:
        """Return the size of an object in bytes."""
        with objects.remote_errors(self.address / key):
            return await super().getsize(self._at(key))

    async def getsize_prefix(self, prefix: str) -> int:
        """Return the size of all objects below a prefix in bytes."""
        return sum([size async for _, size in self._below(prefix)])


def _options(part: ByteRequest | None) -> GetOptions:
    """Return the options of a request for an object, or for part of it."""
    if isinstance(part, RangeByteRequest):
        return {"range": (part.start, part.end)}
    if isinstance(part, OffsetByteRequest):
        return {"range": {"offset": part.offset}}
    return {} if part is None else {"range": {"suffix": part.suffix}}


def _reopen(kind: type[ZarrObjects], address: Address, read_only: bool) -> ZarrObjects:
    return kind(address, read_only=read_only)
