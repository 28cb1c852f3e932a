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


@contextlib.contextmanager
def slide_lock(store: Path, slide_id: str) -> Iterator[None]:
    """Hold a slide of a store while it is written.

    The lock is on one byte of the root document, which byte by the slide's id (Linux open file
    description locks: the kernel frees them with the process, and reading the file elsewhere in this
    process does not). Where there are no such locks nothing is held.

    Raises:
        SlideError: Another process is writing the slide.
    """
    try:
        import fcntl

        command = fcntl.F_OFD_SETLK
    except (ImportError, AttributeError):
        yield
        return
    byte = zlib.crc32(slide_id.encode())
    region = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, byte, 1, 0)
    try:
        file = (store / METADATA_FILE).open("r+b")
    except OSError:
        yield
        return
    with file:
        try:
            fcntl.fcntl(file, command, region)
        except OSError as error:
            if error.errno in _HELD:
                raise SlideError(
                    f"{slide_id}: another process is writing it into {store.name}; run again when it is done"
                ) from error
        yield
