"""A store on object storage."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from wsi_embed.errors import RemoteError, UsageError
from wsi_embed.storage import objects
from wsi_embed.storage.address import Address
from wsi_embed.storage.client import client
from wsi_embed.storage.folder import Place
from wsi_embed.storage.zarr_objects import ZarrObjects

T = TypeVar("T")
U = TypeVar("U")

# Requests on their way at a time: each takes long, and the server little.
AT_ONCE = 32
CREATE_TRIES = 3


class RemotePlace(Place):
    """What lies below an address, as if it were a folder.

    There is no renaming there, but an object appears whole: a slide's document is written last.

    Args:
        address: Where.

    Raises:
        UsageError: If a web server cannot hold a store.
        MissingExtraError: If the extra `cloud` is not installed.
    """

    def __init__(self, address: Address) -> None:
        if not address.listed:
            raise UsageError(f"{address}: a store can be at s3:// and gs://, not on a web server")
        self.address = address
        client(address)

    def __str__(self) -> str:
        return str(self.address)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.address / name)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.name

    @property
    def zarr(self) -> ZarrObjects:
        """What is there as Zarr's object store."""
        return ZarrObjects(self.address)

    def read(self, key: str) -> bytes:
        """Content of an object."""
        return objects.read(self.address / key)

    def write(self, key: str, content: bytes) -> None:
        """Write an object."""
        objects.write(self.address / key, content)

    def create(self, key: str, content: bytes) -> None:
        """Write an object unless it is there; the server decides."""
        for left in reversed(range(CREATE_TRIES)):
            try:
                objects.write(self.address / key, content, replace=False)
                return
            except FileExistsError:  # by another process, or by a try of which no answer came
                return
            except RemoteError:  # obstore does not repeat what may have happened already
                if not left:
                    raise

    def state(self, key: str) -> list[int] | None:
        """Size in bytes and a digest of the ETag."""
        try:
            return objects.stat(self.address / key).state
        except FileNotFoundError:
            return None

    def there(self) -> bool:
        """Whether any object is below."""
        return next(objects.below(self.address), None) is not None

    def occupied(self) -> bool:
        """Whether any object is below, or is called so itself."""
        return self.there() or (bool(self.address.key) and self._is_object())

    def _is_object(self) -> bool:
        try:
            objects.stat(self.address)
        except FileNotFoundError:
            return False
        return True

    def folders(self) -> list[str]:
        """What comes between this address and the next slash, sorted."""
        return sorted(objects.beside(self.address)[0])

    def files(self) -> list[str]:
        """Keys of all objects below, sorted."""
        start = len(self.address.key) + 1
        return sorted(found.address.key[start:] for found in objects.below(self.address))

    def remove(self) -> None:
        """Delete all objects below."""
        objects.delete([found.address for found in objects.below(self.address)])

    def lock_file(self, key: str) -> None:
        """None: object storage has no locks that die with their owner."""
        return

    def map(self, function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
        """Apply to each, many at once: each waits for the server."""
        left = iter(values)
        with ThreadPoolExecutor(AT_ONCE, "wsi-embed-ask") as pool:
            while some := list(itertools.islice(left, 4 * AT_ONCE)):
                yield from pool.map(function, some)
