"""A store on object storage."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

from zarr.storage import ObjectStore, StorePath

from wsi_embed.errors import UsageError
from wsi_embed.remote import objects
from wsi_embed.remote.address import Address
from wsi_embed.store.place import Place

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer

T = TypeVar("T")
U = TypeVar("U")

# Requests on their way at a time: each takes long, and the server little.
AT_ONCE = 32


class RemotePlace(Place):
    """What lies below an address, as if it were a folder.

    There is no renaming there, but an object appears whole: a slide's document is written last.

    Args:
        address: Where.

    Raises:
        UsageError: A web server cannot hold a store.
        MissingExtraError: The extra `cloud` is not installed.
    """

    def __init__(self, address: Address) -> None:
        if not address.listed:
            raise UsageError(f"{address}: a store can be at s3:// and gs://, not on a web server")
        self.address = address
        objects.client(address)

    def __str__(self) -> str:
        return str(self.address)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.address / name)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.name

    @property
    def zarr(self) -> StorePath:
        """Zarr's object store, at the address."""
        return StorePath(ZarrObjects(objects.client(self.address)), self.address.key)

    def read(self, key: str) -> bytes:
        """Content of an object."""
        return objects.read(self.address / key)

    def write(self, key: str, content: bytes) -> None:
        """Write an object."""
        objects.write(self.address / key, content)

    def create(self, key: str, content: bytes) -> None:
        """Write an object unless it is there; the server decides."""
        with contextlib.suppress(FileExistsError):
            objects.write(self.address / key, content, replace=False)

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


class ZarrObjects(ObjectStore[Any]):
    """Zarr's object store, with our errors, and each object written by one request.

    Uploads in parts would leave parts behind where a job is killed: nobody sees them, but they cost.
    """

    async def get(self, key: str, *args: Any, **more: Any) -> Buffer | None:
        """An object or a part of it; None where there is none."""
        objects.check_process()
        with objects.told(key):
            return await super().get(key, *args, **more)

    async def get_partial_values(self, *args: Any, **more: Any) -> list[Buffer | None]:
        """Parts of objects."""
        objects.check_process()
        with objects.told("parts of an array"):
            return await super().get_partial_values(*args, **more)

    async def exists(self, key: str) -> bool:
        """Whether an object is there."""
        objects.check_process()
        with objects.told(key):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        import obstore

        self._check_writable()
        with objects.told(key):
            await obstore.put_async(self.store, key, value.as_buffer_like(), use_multipart=False)
