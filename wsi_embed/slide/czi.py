"""Which pixels a CZI file has, as far as OpenSlide does not say it (ZEN file format, version 1.2)."""

from __future__ import annotations

import struct
from pathlib import Path

DIRECTORY_POSITION = 32 + 16 + 16 + 16 + 4  # of the first segment: header, versions, two identifiers, part
ENTRIES = 32 + 128  # header, number of entries and what is reserved
BGR48 = 4


def czi_fault(path: Path) -> str | None:
    """Find out whether the pixels of a CZI file have more than 8 bits.

    Returns:
        What is wrong and what to do; None if nothing is, or the file is no CZI.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as data:
        head = data.read(DIRECTORY_POSITION + 8)
        if not head.startswith(b"ZISRAWFILE") or len(head) < DIRECTORY_POSITION + 8:
            return None
        (directory,) = struct.unpack_from("<q", head, DIRECTORY_POSITION)
        if directory < 0:
            return None
        data.seek(directory + ENTRIES)
        entry = data.read(6)
    if not entry.startswith(b"DV") or len(entry) < 6:
        return None
    if struct.unpack_from("<i", entry, 2)[0] != BGR48:
        return None
    return (
        "its samples have 16 bits, of which OpenSlide gives the upper 8, and cameras use 10 to 14; export it "
        "from ZEN with 8 bits a channel"
    )
