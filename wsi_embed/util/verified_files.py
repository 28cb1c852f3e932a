"""Files that are read back after they were written, because not every failed write is reported."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 2**20


class ChecksummedFile:
    """File that is written in sequence, with the CRC-32 of its content.

    Args:
        file: Binary file, open for writing.

    Attributes:
        crc: CRC-32 of the bytes written so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.crc = file, 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write bytes and return their number."""
        self.crc = zlib.crc32(data, self.crc)
        self._file.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Write the buffer of the file."""
        self._file.flush()


@contextlib.contextmanager
def verified(path: Path) -> Iterator[ChecksummedFile]:
    """Yield a file to write; when the block ends, it is on the disk and was read back.

    Args:
        path: File to write; an existing one is replaced.

    Raises:
        OSError: If the file cannot be written, or holds something else than was written.
    """
    with path.open("wb") as plain:
        file = ChecksummedFile(plain)
        yield file
        plain.flush()
        os.fsync(plain.fileno())
    if _crc_of(path) != file.crc:
        raise OSError(errno.EIO, "it does not hold what was written", str(path))


def on_disk(folder: Path) -> None:
    """Wait until all files of a folder are on the disk.

    Raises:
        OSError: If a file cannot be written.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _crc_of(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    return crc
