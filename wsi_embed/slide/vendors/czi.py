"""Pixel types of a CZI file, which OpenSlide does not report completely (ZEN file format, version 1.2)."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wsi_embed.errors import SlideError

DIRECTORY_POSITION = 32 + 16 + 16 + 16 + 4  # in the first segment: header, versions, two identifiers, part
ENTRIES = 32 + 128  # header, number of entries, reserved bytes
ENTRY, DIMENSION = 32, 20  # bytes of an entry before its dimensions, and of each
MOST_DIMENSIONS, MOST_ENTRIES = 40, 1 << 17
BGR48 = 4
SCENE = re.compile(r"openslide\.region\[\d+\]\.x")


def czi_fault(path: Path) -> SlideError | None:
    """Check whether the pixels of a CZI file have more than 8 bits anywhere.

    Returns:
        The error, without the name of the file; None if there is none, or the file is not CZI.

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
        if BGR48 not in _pixel_types(data, directory):
            return None
    return SlideError(
        "its samples have 16 bits, of which OpenSlide gives the upper 8, and cameras use 10 to 14",
        remedy="export it from ZEN with 8 bits a channel",
    )


def scene_warnings(path: Path, properties: Mapping[str, str]) -> list[str]:
    """Return a warning about several scenes, which OpenSlide reads as one picture.

    Args:
        path: Slide file.
        properties: OpenSlide's properties of the slide.
    """
    count = sum(bool(SCENE.fullmatch(name)) for name in properties)
    if count < 2:
        return []
    return [
        f"{path.name}: its {count} scenes are read as one picture, as they lie on the glass, and coordinates "
        "count from its corner; to read a scene by itself, export it from ZEN"
    ]


def _pixel_types(data: BinaryIO, directory: int) -> set[int]:
    """Return the pixel types of all tiles from the file's directory.

    Only entries of the same length as the first are read.
    """
    data.seek(directory + ENTRIES)
    first = data.read(ENTRY)
    if not first.startswith(b"DV") or len(first) < ENTRY:
        return set()
    length = ENTRY + DIMENSION * min(MOST_DIMENSIONS, first[ENTRY - 4])
    data.seek(directory + ENTRIES)
    content = data.read(MOST_ENTRIES * length)
    entries = np.frombuffer(content, np.uint8, len(content) // length * length).reshape(-1, length)
    alike = (entries[:, :2] == (ord("D"), ord("V"))).all(1)
    count = len(alike) if alike.all() else int(np.argmin(alike))
    types = np.ascontiguousarray(entries[:count, 2:6]).view("<i4")
    return set(np.unique(types).tolist()) if count else set(struct.unpack_from("<i", first, 2))
