"""Content of a server's answers, in no more memory than is right.

obstore makes a buffer as long as the server announces, and ends the process if there is no room for it. It
also goes on reading where a server sends more than it announced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wsi_embed.errors import RemoteError, StoreError
from wsi_embed.storage.address import Address

if TYPE_CHECKING:
    from obstore import GetResult

# Largest object that is read into memory as a whole, bytes: documents, tables, and shards of arrays.
LARGEST = 2**30


class LengthError(RemoteError):
    """A server announces or sends more bytes than are right."""


def content(answer: GetResult, most: int, address: Address) -> bytes:
    """Return the content of an answer.

    Args:
        answer: Answer whose content has not been read.
        most: Largest right length, bytes.
        address: Address of the object.

    Raises:
        LengthError: If the server announces more, or sends more than it announced.
    """
    reading = _Content(answer, most, address)
    for block in answer.stream():
        reading.add(block)
    return b"".join(reading.blocks)


async def content_async(answer: GetResult, most: int, address: Address) -> bytes:
    """Return the content of an answer, as `content` does."""
    reading = _Content(answer, most, address)
    async for block in answer.stream():
        reading.add(block)
    return b"".join(reading.blocks)


@contextlib.contextmanager
def wrong_length_as_damage() -> Iterator[None]:
    """Turn a LengthError into a StoreError: it damages one object, as another content would.

    Raises:
        StoreError: If a server announces or sends more bytes than are right.
    """
    try:
        yield
    except LengthError as error:
        raise StoreError(error.what, where=error.where, remedy=error.remedy) from error


class _Content:
    """Blocks of an answer, whose length is checked."""

    def __init__(self, answer: GetResult, most: int, address: Address) -> None:
        first, stop = answer.range
        self.blocks: list[bytes] = []
        self._address, self._announced, self._left = address, stop - first, stop - first
        if self._announced > most:
            raise _too_long(f"announces {self._announced} bytes, {most} at most are right", address)

    def add(self, block: object) -> None:
        """Add a block.

        Raises:
            LengthError: If the blocks are longer than the server announced.
        """
        self.blocks.append(bytes(memoryview(block)))  # type: ignore[arg-type]
        self._left -= len(self.blocks[-1])
        if self._left < 0:
            raise _too_long(f"sends more than the {self._announced} bytes it announced", self._address)


def _too_long(what: str, address: Address) -> LengthError:
    return LengthError(f"the server {what}", where=address, remedy="check the server")
