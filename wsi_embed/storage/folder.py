"""Folder of a store: local, or in object storage (`wsi_embed.storage.remote_folder`)."""

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

# Metadata document of a Zarr group or array.
METADATA_FILE = "zarr.json"

T = TypeVar("T")
U = TypeVar("U")


class Place(ABC):
    """Folder as a store needs it. Keys are relative to the folder, with `/`.

    All methods raise OSError, or RemoteError for a remote folder; a missing file is a FileNotFoundError.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the folder."""

    @property
    @abstractmethod
    def zarr(self) -> Any:
        """Path or Zarr store to pass to Zarr."""

    @abstractmethod
    def __truediv__(self, name: str) -> Self: ...

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the content of a file."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Write a file atomically: readers see either the old or the new content."""

    @abstractmethod
    def create(self, key: str, content: bytes) -> None:
        """Create a file, and the folder, atomically unless another process was faster."""

    @abstractmethod
    def state(self, key: str) -> list[int] | None:
        """Return two integers that change with a file, first its size; None if the file does not exist."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is a file or folder of that name."""

    @abstractmethod
    def occupied(self) -> bool:
        """Return whether the folder has any content, apart from temporary files of `create`."""

    @abstractmethod
    def folders(self) -> list[str]:
        """Return the names of the subfolders, sorted."""

    @abstractmethod
    def files(self) -> list[str]:
        """Return the keys of all files at any depth, sorted."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the folder and its content, if it exists."""

    @abstractmethod
    def move(self, target: Self) -> None:
        """Move the folder to a place where there is none."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""

    @abstractmethod
    def lock_file(self, key: str) -> Path | None:
        """Return the file on which locks are taken; None if locks are not supported."""

    @abstractmethod
    def map(self, function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
        """Apply a function to each value, in order, with as much parallelism as pays off."""


class LocalPlace(Place):
    """Folder of the local file system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Self:
        return type(self)(self.path / name)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def zarr(self) -> Path:
        """Path of the folder."""
        return self.path

    def read(self, key: str) -> bytes:
        """Return the content of a file."""
        # opening a bag reads eight small files, for which a buffer takes as long as reading
        with open(f"{self.path}/{key}", "rb", buffering=0) as file:
            return file.read()

    def write(self, key: str, content: bytes) -> None:
        """Write a temporary file beside the file, and rename it."""
        with replacing(self.path / key) as temporary:
            temporary.write_bytes(content)

    def create(self, key: str, content: bytes) -> None:
        """Create a file through a temporary one, unless it exists."""
        self.path.mkdir(parents=True, exist_ok=True)
        create(self.path / key, content.decode())

    def state(self, key: str) -> list[int] | None:
        """Return size in bytes and modification time in ns."""
        try:
            found = os.stat(f"{self.path}/{key}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return [found.st_size, found.st_mtime_ns]

    def exists(self) -> bool:
        """Return whether there is a file or folder of that name."""
        return self.path.exists()

    def occupied(self) -> bool:
        """Return whether there is a file of that name, or a folder that is not empty."""
        if self.path.is_dir():
            return any(p.suffix != PARTIAL for p in self.path.iterdir())
        return self.path.is_file()

    def folders(self) -> list[str]:
        """Return the names of the subfolders, sorted."""
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())

    def files(self) -> list[str]:
        """Return the keys of all files at any depth, sorted."""
        found = (p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file())
        return sorted(found)

    def remove(self) -> None:
        """Remove the folder and its content, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def move(self, target: Self) -> None:
        """Rename the folder."""
        self.path.rename(target.path)

    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""
        (self.path / key).unlink(missing_ok=True)

    def lock_file(self, key: str) -> Path:
        """Return the file itself."""
        return self.path / key

    def map(self, function: Callable[[T], U], values: Iterable[T]) -> Iterator[U]:
        """Apply a function to each value, one after the other: the files are mostly in the page cache."""
        return map(function, values)


def cannot_write(where: Place | Path, error: OSError) -> StoreError:
    """Return the error for an output that cannot be written."""
    return StoreError(
        f"cannot be written ({error.strerror or error})",
        where=where,
        remedy="free some space or check permissions, then run again",
    )
