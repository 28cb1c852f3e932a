"""Folder in object storage."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from wsi_embed.errors import RemoteError, UsageError
from wsi_embed.storage import objects
from wsi_embed.storage.address import Address
from wsi_embed.storage.answers import wrong_length_as_damage
from wsi_embed.storage.client import client
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.storage.zarr_objects import ZarrObjects

T = TypeVar("T")
U = TypeVar("U")

# Parallel requests: latency dominates.
PARALLEL = 32
CREATE_ATTEMPTS = 3


class RemotePlace(Place):
    """Objects below an address, with the interface of a folder.

    Object storage has no renaming, but each object appears complete: a slide's metadata document is written
    last.

    Args:
        address: Address of the folder.

    Raises:
        UsageError: If the address is on a web server, which cannot hold a store.
        MissingExtraError: If the extra `cloud` is not installed.
    """

    def __init__(self, address: Address) -> None:
        if not address.listed:
            raise UsageError("a store can be at s3:// and gs://, not on a web server", where=address)
        self.address = address
        client(address)

    def __str__(self) -> str:
        return str(self.address)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.address / name)

    @property
    def name(self) -> str:
        """Last part of the address."""
        return self.address.name

    @property
    def zarr(self) -> ZarrObjects:
        """Zarr store of the objects."""
        return ZarrObjects(self.address)

    def read(self, key: str) -> bytes:
        """Return the content of an object.

        Raises:
            StoreError: If the server announces or sends more bytes than are right.
        """
        with wrong_length_as_damage():
            return objects.read(self.address / key)

    def write(self, key: str, content: bytes) -> None:
        """Write an object."""
        objects.write(self.address / key, content)

    def create(self, key: str, content: bytes) -> None:
        """Create an object unless it exists, which the server decides."""
        for left in reversed(range(CREATE_ATTEMPTS)):
            try:
                objects.write(self.address / key, content, replace=False)
                return
            except FileExistsError:  # by another process, or by an attempt whose response was lost
                return
            except RemoteError:  # obstore itself does not retry requests that may have succeeded
                if not left:
                    raise

    def state(self, key: str) -> list[int] | None:
        """Return size in bytes and a digest of the ETag."""
        try:
            return objects.stat(self.address / key).state
        except FileNotFoundError:
            return None

    def exists(self) -> bool:
        """Return whether there is any object below the address."""
        return next(objects.below(self.address), None) is not None

    def occupied(self) -> bool:
        """Return whether there is an object at or below the address."""
        return self.exists() or (bool(self.address.key) and self._is_object())

    def _is_object(self) -> bool:
        try:
            objects.stat(self.address)
        except FileNotFoundError:
            return False
        return True

    def folders(self) -> list[str]:
        """Return the names between the address and the next slash, sorted."""
        return sorted(objects.beside(self.address)[0])

    def files(self) -> list[str]:
        """Return the keys of all objects below the address, sorted."""
        start = len(self.address.key) + 1
        return sorted(found.address.key[start:] for found in objects.below(self.address))

    def remove(self) -> None:
        """Delete all objects below the address."""
        objects.delete([found.address for found in objects.below(self.address)])

    def move(self, target: Self) -> None:
        """Copy all objects, the folder's own metadata document last, then delete them."""
        keys = sorted(self.files(), key=lambda key: (key == METADATA_FILE, key))
        for key in keys:
            target.write(key, self.read(key))
        self.remove()

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        objects.delete([self.address / key])

    def lock_file(self, key: str) -> None:
        """Return None: object storage has no locks that end with their process."""
        return

    def map(self, function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
        """Apply a function to each value, in parallel threads that wait for the server."""
        left = iter(values)
        with ThreadPoolExecutor(PARALLEL, "wsi-embed-ask") as pool:
            while some := list(itertools.islice(left, 4 * PARALLEL)):
                yield from pool.map(function, some)
