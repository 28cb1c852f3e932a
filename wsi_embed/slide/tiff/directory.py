"""Reader of the directories of a TIFF file (TIFF 6.0, BigTIFF), robust to wrong numbers.

General TIFF libraries read every value that a directory names, wherever it points: a malicious file can take
unbounded time and memory. This module reads only requested values, and none that the file has no room for.
"""

from __future__ import annotations

import functools
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.tiff.tags import (
    ANY,
    FLOATS,
    FRACTION,
    READ,
    TEXT,
    TILE_BYTE_COUNTS,
    TILE_WIDTH,
    TYPES,
    WIDTHS,
    Tag,
    TiffError,
)
from wsi_embed.util.file_parts import open_to_read, read_at

Int64Array = npt.NDArray[np.int64]

# First bytes of a TIFF: byte order, then 42, or 43 for BigTIFF.
STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Slides have about ten; those with many focal planes some hundred.
MOST_DIRECTORIES = 4096
MOST_TAGS = 4096


class TiffFile:
    """Open TIFF. Several threads may read it.

    Args:
        path: TIFF file.

    Attributes:
        size: Size of the file in bytes.
        state: Path, size and modification time, which identify the file.
        first: Offset of the first directory; 0 without any.
        order: Byte order of its numbers, `<` or `>`.
        big: Whether it is a BigTIFF.

    Raises:
        TiffError: If the file is not a TIFF.
        OSError: If the file cannot be read.
    """

    _LAYOUTS: ClassVar = {  # number of entries, entry (tag, type, count, value), offset of the next directory
        42: ("H", "HHI4s", "I"),
        43: ("Q", "HHQ8s", "Q"),
    }

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directories: list[Directory] | None = None
        self._handle = open_to_read(path)
        try:
            state = os.fstat(self._handle)
            self.size = state.st_size
            self.state = str(path), state.st_size, state.st_mtime_ns
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        head = self.read(0, 8)
        if head[:4] not in STARTS:
            raise TiffError("it is no TIFF")
        self.order = "<" if head[:2] == b"II" else ">"
        (version,) = struct.unpack(f"{self.order}H", head[2:4])
        count, entry, following = (struct.Struct(self.order + f) for f in self._LAYOUTS[version])
        self._count, self._entry, self._following = count, entry, following
        self.big = version == 43
        (self.first,) = following.unpack(self.read(8, 8) if self.big else head[4:])

    def read(self, offset: int, size: int) -> bytes:
        """Read part of the file.

        Raises:
            TiffError: If the file has no such part.
            OSError: If the file cannot be read.
        """
        if offset + size > self.size:  # also bounds the memory
            raise TiffError(f"it ends before byte {offset + size}")
        data = read_at(self._handle, size, offset)
        if len(data) != size:
            raise TiffError(f"{len(data)} of {size} bytes could be read at {offset}")
        return data

    def directories(self) -> list[Directory]:
        """Return the main directories, in order, without those that only others refer to.

        Raises:
            TiffError: If the directories are invalid.
            OSError: If the file cannot be read.
        """
        if self._directories is not None:
            return self._directories
        found, seen, offset = [], set[int](), self.first
        while offset:
            if offset in seen or len(seen) == MOST_DIRECTORIES:
                raise TiffError("its directories form a loop")
            seen.add(offset)
            directory, offset = self._directory(offset)
            found.append(directory)
        self._directories = found
        return found

    def directory(self, offset: int) -> Directory:
        """Return the directory at an offset; errors are those of `directories`."""
        return self._directory(offset)[0]

    def _directory(self, offset: int) -> tuple[Directory, int]:
        """Return a directory, and the offset of the next one."""
        (count,) = self._count.unpack(self.read(offset, self._count.size))
        if count > MOST_TAGS:
            raise TiffError(f"a directory of {count} tags")
        start, size = offset + self._count.size, self._entry.size
        data = self.read(start, count * size + self._following.size)
        tags: dict[int, Tag] = {}
        for i in range(count):
            code, kind, number, value = self._entry.unpack_from(data, i * size)
            if code in tags and code in READ:
                raise TiffError(f"it has tag {code} twice")
            width = WIDTHS.get(kind, 1)
            if number * width <= len(value):
                tags[code] = Tag(kind, number, start + (i + 1) * size - len(value), value)
            else:
                tags[code] = Tag(kind, number, self._following.unpack(value)[0])
        return Directory(self, tags), self._following.unpack_from(data, count * size)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called several times; reading afterwards raises OSError."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


@dataclass(frozen=True)
class Directory:
    """Tags of one image of a TIFF.

    Attributes:
        file: The TIFF.
        tags: Tags by code.
    """

    file: TiffFile
    tags: dict[int, Tag]
    # Integers that were read before: opening a slide asks for most of them several times.
    _numbers: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def tiled(self) -> bool:
        """Whether the image is stored in tiles."""
        return TILE_WIDTH in self.tags

    def bytes(self, code: int, most: int) -> bytes:
        """Return the values of a tag as stored in the file; empty without the tag.

        Args:
            code: Code of the tag.
            most: Largest number of values to accept.

        Raises:
            TiffError: If there are more values, or they are not inside the file.
            OSError: If the file cannot be read.
        """
        tag = self.tags.get(code)
        if tag is None:
            return b""
        if tag.count > most:
            raise TiffError(f"tag {code} has {tag.count} values")
        size = tag.count * WIDTHS[self._known(code, tag)]
        return self.file.read(tag.offset, size) if tag.inline is None else tag.inline[:size]

    def numbers(self, code: int, most: int) -> Int64Array:
        """Return the integers in a tag, int64 [N]; empty without the tag.

        Arguments and errors are those of `bytes`.
        """
        tag = self.tags.get(code)
        if tag is None:
            return np.empty(0, np.int64)
        values = np.frombuffer(self.bytes(code, most), self.file.order + self._type(code, tag))
        if values.size and not 0 <= values.min() <= values.max() <= np.iinfo(np.int64).max:
            raise TiffError(f"tag {code} is beyond all measure")
        return values.astype(np.int64)

    def tile_sizes(self, most: int) -> Int64Array:
        """Return the size of each tile in bytes, int64 [N], read-only and read once.

        Arguments and errors are those of `bytes`.
        """
        tag = self.tags.get(TILE_BYTE_COUNTS)
        if tag is not None and tag.count > most:
            raise TiffError(f"tag {TILE_BYTE_COUNTS} has {tag.count} values")
        return self._tile_sizes

    @functools.cached_property
    def _tile_sizes(self) -> Int64Array:
        tag = self.tags.get(TILE_BYTE_COUNTS)
        sizes = self.numbers(TILE_BYTE_COUNTS, 0 if tag is None else tag.count)
        sizes.setflags(write=False)
        return sizes

    def number(self, code: int, default: int = 0) -> int:
        """Return the integer in a tag, or `default` without the tag. Errors as for `bytes`."""
        if (known := self._numbers.get(code)) is not None:
            return known
        tag = self.tags.get(code)
        if tag is None or not tag.count:
            return default
        kind = self._type(code, tag)
        order: Literal["little", "big"] = "little" if self.file.order == "<" else "big"
        value = int.from_bytes(self.bytes(code, 1), order, signed=kind[0] == "i")
        if not 0 <= value < 1 << 63:
            raise TiffError(f"tag {code} is beyond all measure")
        self._numbers[code] = value
        return value

    def text(self, code: int, most: int) -> str:
        """Return the text in a tag up to its first NUL, as Latin-1; empty without the tag.

        Arguments and errors are those of `bytes`.
        """
        return self.bytes(code, most).partition(b"\0")[0].decode("latin-1")

    def fraction(self, code: int) -> float | None:
        """Return the positive number in a tag, a fraction (numerator, denominator) by the specification.

        Some writers store an integer or a floating-point number instead.

        Returns:
            The number; None without the tag, or if it is 0, n/0, negative or not finite.

        Raises:
            TiffError: If the tag has another type, or is not inside the file.
            OSError: If the file cannot be read.
        """
        tag = self.tags.get(code)
        if tag is None or not tag.count:
            return None
        if tag.kind in FLOATS:
            value = float(np.frombuffer(self.bytes(code, 1), self.file.order + FLOATS[tag.kind])[0])
            return value if 0 < value < float("inf") else None
        if tag.kind != FRACTION:
            return float(self.number(code)) or None
        numerator, denominator = np.frombuffer(self.bytes(code, 1), self.file.order + "u4").tolist()
        return numerator / denominator if numerator and denominator else None

    def _known(self, code: int, tag: Tag) -> int:
        if tag.kind not in WIDTHS:
            raise TiffError(f"tag {code} is of type {tag.kind}")
        return tag.kind

    def _type(self, code: int, tag: Tag) -> str:
        """Return the NumPy type of a tag of integers."""
        if tag.kind in (TEXT, FRACTION, ANY, *FLOATS):
            raise TiffError(f"tag {code} is no number")
        return TYPES[self._known(code, tag)]
