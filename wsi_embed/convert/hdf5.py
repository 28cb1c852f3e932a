"""HDF5 files that are laid out in memory and written by Python itself.

The HDF5 library may ignore a failed write, and may end the process when a file is closed after one. So it
never sees the disk: it writes its metadata into an image in memory, and reserves the space of the large
arrays, which are written when the file is saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wsi_embed.util.verified_files import ChecksummedFile, verified

Array = npt.NDArray[Any]
PAGE_BYTES = 2**16


class SparseImage:
    """Content of a file in memory. Parts that were never written are zero and take no memory."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._position = self.size = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, and return it."""
        self._position = offset + (0, self._position, self.size)[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def truncate(self, size: int) -> int:
        """Set the size in bytes, and return it."""
        self.size = size
        return size

    def flush(self) -> None:
        """Return: there is no buffer."""

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes, fewer at the end."""
        stop = self.size if length < 0 else min(self.size, self._position + length)
        start, self._position = self._position, max(self._position, stop)
        return b"".join(
            bytes(self._pages[page][part]) if page in self._pages else bytes(part.stop - part.start)
            for page, part in _parts(start, stop)
        )

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes at the position, and return their number."""
        content = memoryview(data).cast("B")
        start, done = self._position, 0
        for page, part in _parts(start, start + len(content)):
            length = part.stop - part.start
            self._pages.setdefault(page, bytearray(PAGE_BYTES))[part] = content[done : done + length]
            done += length
        self._position += len(content)
        self.size = max(self.size, self._position)
        return len(content)


def _parts(start: int, stop: int) -> Iterable[tuple[int, slice]]:
    """Yield the pages of a range of bytes, each with the part of the page that is in the range."""
    while start < stop:
        page, offset = divmod(start, PAGE_BYTES)
        end = min(PAGE_BYTES, offset + stop - start)
        yield page, slice(offset, end)
        start += end - offset


class Hdf5File:
    """HDF5 file to write. Small content is added to `file`, large arrays by `add`; `save` writes it all.

    Attributes:
        file: The open `h5py.File`.
    """

    def __init__(self) -> None:
        import h5py

        self._image = SparseImage()
        self._large: dict[int, tuple[int, Iterable[Array]]] = {}
        self.file = h5py.File(self._image, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def add(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, blocks: Iterable[Array]) -> Any:
        """Add an array without holding it in memory.

        Args:
            name: Name of the data set.
            shape: Shape of the array.
            dtype: Data type of the elements.
            blocks: Rows of the array in order, read when the file is saved.

        Returns:
            The `h5py.Dataset`, for its attributes.
        """
        import h5py

        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        kind = np.dtype(dtype)
        dataset = self.file.create_dataset(name, shape, kind, dcpl=layout)
        if length := math.prod(shape) * kind.itemsize:
            rows = (np.ascontiguousarray(block, kind) for block in blocks)
            self._large[dataset.id.get_offset()] = length, rows
        return dataset

    def save(self, path: Path) -> None:
        """Write the file, and read it back.

        Raises:
            OSError: If the file cannot be written, or holds something else than was written.
            ValueError: If the blocks of an array have more or fewer elements than its shape.
        """
        self.file.close()
        self._image.seek(0)
        with verified(path) as out:
            for offset, (length, blocks) in sorted(self._large.items(), key=lambda item: item[0]):
                out.write(self._image.read(offset - self._image.tell()))
                _write_blocks(out, blocks, length)
                self._image.seek(offset + length)
            out.write(self._image.read())


def _write_blocks(out: ChecksummedFile, blocks: Iterable[Array], length: int) -> None:
    written = sum(out.write(block.data) for block in blocks)
    if written != length:
        raise ValueError(f"an array of {length} bytes has {written}")


def write_h5(path: Path, arrays: Mapping[str, Array], attributes: Mapping[str, Mapping[str, object]]) -> None:
    """Write an HDF5 file, and read it back.

    Args:
        path: File to write.
        arrays: Arrays by name.
        attributes: Attributes by array name; those of the file itself under `/`.

    Raises:
        OSError: If the file cannot be written, or holds something else than was written.
    """
    with Hdf5File() as target:
        for name, values in arrays.items():
            target.add(name, values.shape, values.dtype, [values])
        for name, facts in attributes.items():
            target.file[name].attrs.update(facts)
        target.save(path)
