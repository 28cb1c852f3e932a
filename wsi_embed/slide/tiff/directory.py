"""The directories of a TIFF file (TIFF 6.0, BigTIFF), read without believing their numbers.

Libraries that read TIFF for science take every value that a directory names, and follow it wherever it
points: of a file that lies, neither time nor memory has a bound. Here only the values that are asked for
are read, and none that the file has no room for.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

# What a TIFF begins with: byte order, then 42, or 43 of a BigTIFF.
STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Slides have about ten; those of many focal planes some hundred.
MOST_DIRECTORIES = 4096
MOST_TAGS = 4096

NEW_SUBFILE_TYPE, SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 254, 255, 256, 257, 258
COMPRESSION, PHOTOMETRIC, FILL_ORDER, IMAGE_DESCRIPTION = 259, 262, 266, 270
STRIP_OFFSETS, ORIENTATION, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 273, 274, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR_CONFIGURATION = 282, 283, 284
PAGE_NAME, RESOLUTION_UNIT = 285, 296
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 330, 338, 339, 347
REDUCED, MASK = 1, 4  # bits of NewSubfileType
READ = frozenset({
    254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 285, 296,
    322, 323, 324, 325, 330, 338, 339, 347,
})  # fmt: skip

# TIFF's numbers for types: text, fractions of two whole numbers, bytes of any meaning, and whole numbers.
TEXT, FRACTION, ANY = 2, 5, 7
_TYPES = {
    TEXT: "u1", ANY: "u1", FRACTION: "u8", 1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4",
    16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_WIDTHS = {kind: int(name[1:]) for kind, name in _TYPES.items()}


class TiffError(ValueError):
    """A TIFF is not what its numbers say, or of no kind that is read here; its text says no more than why."""


@dataclass(slots=True)
class Tag:
    """Where a directory has the values of a tag: their type, number and offset in the file.

    Values that lie in the directory itself come with it.
    """

    kind: int
    count: int
    offset: int
    inline: bytes | None = None


class TiffFile:
    """An open TIFF. Several threads may read it.

    Args:
        path: The file.

    Attributes:
        size: Of the file, bytes.
        state: Path, size and time of change, by which the file is known again.
        first: Offset of the first directory; 0 without any.
        order: Byte order of its numbers, `<` or `>`.
        big: Whether it is a BigTIFF.

    Raises:
        TiffError: It is no TIFF.
        OSError: It cannot be read.
    """

    _LAYOUTS: ClassVar = {  # number of entries, entry (tag, type, count, value), offset of the next directory
        42: ("H", "HHI4s", "I"),
        43: ("Q", "HHQ8s", "Q"),
    }

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directories: list[Directory] | None = None
        self._handle = os.open(path, os.O_RDONLY)
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
        """Read a part of the file.

        Raises:
            TiffError: The file has no such part.
            OSError: It cannot be read.
        """
        if offset + size > self.size:  # also keeps what is asked for within memory
            raise TiffError(f"it ends before byte {offset + size}")
        data = os.pread(self._handle, size, offset)
        if len(data) != size:
            raise TiffError(f"{len(data)} of {size} bytes could be read at {offset}")
        return data

    def directories(self) -> list[Directory]:
        """The main directories, in order: not those that are only named by others.

        Raises:
            TiffError: They make no sense.
            OSError: The file cannot be read.
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
        """The directory at an offset; raises what `directories` raises."""
        return self._directory(offset)[0]

    def _directory(self, offset: int) -> tuple[Directory, int]:
        """A directory, and the offset of the next one."""
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
            width = _WIDTHS.get(kind, 1)
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
        """Close the file. Closing twice is fine; reading afterwards is an OSError."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


@dataclass(frozen=True)
class Directory:
    """The tags of one image of a TIFF."""

    file: TiffFile
    tags: dict[int, Tag]

    @property
    def tiled(self) -> bool:
        """Whether the image is stored in tiles."""
        return TILE_WIDTH in self.tags

    def bytes(self, code: int, most: int) -> bytes:
        """The values of a tag as they lie in the file; empty without the tag.

        Args:
            code: Of the tag.
            most: Values that are believed; more are read by nobody.

        Raises:
            TiffError: They are more, or do not lie in the file.
            OSError: The file cannot be read.
        """
        tag = self.tags.get(code)
        if tag is None:
            return b""
        if tag.count > most:
            raise TiffError(f"tag {code} has {tag.count} values")
        size = tag.count * _WIDTHS[self._known(code, tag)]
        return self.file.read(tag.offset, size) if tag.inline is None else tag.inline[:size]

    def numbers(self, code: int, most: int) -> Int64Array:
        """The whole numbers of a tag, int64 [N], none without the tag; arguments and errors as of `bytes`."""
        tag = self.tags.get(code)
        if tag is None:
            return np.empty(0, np.int64)
        values = np.frombuffer(self.bytes(code, most), self.file.order + self._type(code, tag))
        if values.size and not 0 <= values.min() <= values.max() <= np.iinfo(np.int64).max:
            raise TiffError(f"tag {code} is beyond all measure")
        return values.astype(np.int64)

    def number(self, code: int, default: int = 0) -> int:
        """The one number of a tag, or `default` without the tag; errors as of `bytes`."""
        tag = self.tags.get(code)
        if tag is None or not tag.count:
            return default
        kind = self._type(code, tag)
        order: Literal["little", "big"] = "little" if self.file.order == "<" else "big"
        value = int.from_bytes(self.bytes(code, 1), order, signed=kind[0] == "i")
        if not 0 <= value < 1 << 63:
            raise TiffError(f"tag {code} is beyond all measure")
        return value

    def text(self, code: int, most: int) -> str:
        """The text of a tag up to its first NUL, as Latin-1; empty without the tag; errors as of `bytes`."""
        return self.bytes(code, most).partition(b"\0")[0].decode("latin-1")

    def fraction(self, code: int) -> float | None:
        """The one fraction of a tag (numerator, denominator); None without the tag, or where it is 0 or n/0.

        Raises:
            TiffError: It is of another type, or does not lie in the file.
            OSError: The file cannot be read.
        """
        tag = self.tags.get(code)
        if tag is None:
            return None
        if tag.kind != FRACTION:
            raise TiffError(f"tag {code} is no fraction")
        numerator, denominator = np.frombuffer(self.bytes(code, 1), self.file.order + "u4").tolist()
        return numerator / denominator if numerator and denominator else None

    def _known(self, code: int, tag: Tag) -> int:
        if tag.kind not in _TYPES:
            raise TiffError(f"tag {code} is of type {tag.kind}")
        return tag.kind

    def _type(self, code: int, tag: Tag) -> str:
        """The type of a tag of numbers, as NumPy calls it."""
        if tag.kind in (TEXT, FRACTION, ANY):
            raise TiffError(f"tag {code} is no number")
        return _TYPES[self._known(code, tag)]
