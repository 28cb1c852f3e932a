"""One writer a slide, also when two jobs fill one store: a lock that dies with its owner."""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from wsi_embed.errors import SlideError
from wsi_embed.store.layout import METADATA_FILE

# What a lock that somebody else holds answers; anything else means that there are no locks here.
_HELD = {errno.EAGAIN, errno.EACCES}


# Beyond every byte that a slide's id can have.
_WHOLE = 2**32


@contextlib.contextmanager
def slide_lock(folder: Path, slide_id: str, document: str = METADATA_FILE) -> Iterator[None]:
    """Hold a slide of a store (or of another output) while it is written.

    The lock is on one byte of the root document, which byte by the slide's id (Linux open file
    description locks: the kernel frees them with the process, and reading the file elsewhere in this
    process does not). Where there are no such locks nothing is held.

    Args:
        folder: The store.
        slide_id: The slide.
        document: A file of the store that is never replaced.

    Raises:
        SlideError: Another process is writing the slide.
    """
    with _locked(folder / document, zlib.crc32(slide_id.encode()), wait=False) as free:
        if not free:
            raise SlideError(
                f"{slide_id}: another process is writing it into {folder.name}; run again when it is done"
            )
        yield


@contextlib.contextmanager
def whole_lock(folder: Path, document: str) -> Iterator[None]:
    """Wait for, then hold what belongs to no single slide; slides may be written meanwhile."""
    with _locked(folder / document, _WHOLE, wait=True):
        yield


@contextlib.contextmanager
def _locked(document: Path, byte: int, *, wait: bool) -> Iterator[bool]:
    """Lock a byte of a file; False where somebody else holds it."""
    try:
        import fcntl

        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    except (ImportError, AttributeError):
        yield True
        return
    region = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, byte, 1, 0)
    try:
        file = document.open("r+b")
    except OSError:
        yield True
        return
    with file:
        free = True
        try:
            fcntl.fcntl(file, command, region)
        except OSError as error:
            free = error.errno not in _HELD
        yield free
