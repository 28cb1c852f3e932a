"""Where a store lies: a folder of this machine, or objects elsewhere (`wsi_embed.storage.remote_folder`)."""

from __future__ import annotations

import contextlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from wsi_embed.errors import StoreError
from wsi_embed.util.atomic_files import PARTIAL, create, replacing

# Document of each of Zarr's groups and arrays.
METADATA_FILE = "zarr.json"

T = TypeVar("T")
U = TypeVar("U")


class Place(ABC):
    """A folder, and what a store needs of it. Keys are relative to it, with `/`.

    All methods raise OSError, or elsewhere RemoteError; what is not there is a FileNotFoundError.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The folder's name."""

    @property
    @abstractmethod
    def zarr(self) -> Any:
        """What Zarr opens."""

    @abstractmethod
    def __truediv__(self, name: str) -> Self: ...

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Content of a file."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Write a file in one step: whoever reads it gets the old or the new content, whole."""

    @abstractmethod
    def create(self, key: str, content: bytes) -> None:
        """Write a file, and the folder, in one step unless another process was faster."""

    @abstractmethod
    def state(self, key: str) -> list[int] | None:
        """Two numbers, the first its size, that change with a file; None where there is none."""

    @abstractmethod
    def there(self) -> bool:
        """Whether there is anything of that name."""

    @abstractmethod
    def occupied(self) -> bool:
        """Whether there is anything, beyond what a `create` in progress leaves."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""

    @abstractmethod
    def files(self) -> list[str]:
        """Keys of all files at any depth, sorted."""

    @abstractmethod
    def remove(self) -> None:
        """Remove it with everything in it, if it is there."""

    @abstractmethod
    def lock_file(self, key: str) -> Path | None:
        """The file as one that locks can be on; None where there are no locks."""

    @abstractmethod
    def map(self, function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
        """Apply to each, in order, as many at once as pays."""


class LocalPlace(Place):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.path / name)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def zarr(self) -> Path:
        """The path."""
        return self.path

    def read(self, key: str) -> bytes:
        """Content of a file."""
        return (self.path / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Write a file beside its place, and rename it."""
        with replacing(self.path / key) as temporary:
            temporary.write_bytes(content)

    def create(self, key: str, content: bytes) -> None:
        """Write a file beside its place, and give it its name unless that is taken."""
        self.path.mkdir(parents=True, exist_ok=True)
        create(self.path / key, content.decode())

    def state(self, key: str) -> list[int] | None:
        """Size in bytes and time of change in ns."""
        try:
            found = os.stat(f"{self.path}/{key}")
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns]

    def there(self) -> bool:
        """Whether there is a file or folder of that name."""
        return self.path.exists()

    def occupied(self) -> bool:
        """Whether there is a file of that name, or a folder with anything in it."""
        if self.path.is_dir():
            return any(p.suffix != PARTIAL for p in self.path.iterdir())
        return self.path.is_file()

    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())

    def files(self) -> list[str]:
        """Keys of all files at any depth, sorted."""
        found = (p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file())
        return sorted(found)

    def remove(self) -> None:
        """Remove the folder with everything in it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def lock_file(self, key: str) -> Path:
        """The file itself."""
        return self.path / key

    def map(self, function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
        """One after the other: the system has most of it in memory."""
        return map(function, values)


def cannot_write(where: Place | Path, error: OSError) -> StoreError:
    """Return the error for an output that the system refuses to write."""
    return StoreError(
        f"{where}: cannot be written ({error.strerror or error}); free some space or check permissions, "
        "then run again"
    )
