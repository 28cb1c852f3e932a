"""Compressed sample frames of a DICOM file, for checking their colours."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.dicom_elements import ITEM, UNDEFINED
from wsi_embed.slide.dicom_instance import DicomInstance
from wsi_embed.slide.photometric import sample_tiles

LARGEST_FRAME = 1 << 24  # bytes
MOST_WALKED = 2048  # frames that are searched for one by one without a table of offsets


def sample_frames(instance: DicomInstance) -> list[bytes]:
    """Read some frames spread over a file, smallest first; empty if they are not compressed.

    Raises:
        OSError: If the file cannot be read.
    """
    pixels = instance.pixels
    if pixels is None or pixels.length != UNDEFINED:
        return []
    with instance.path.open("rb") as data:
        table = item_length(data, pixels.start)
        if table is None:
            return []
        first = pixels.start + 8 + table
        listed = os.pread(data.fileno(), min(table, 4 * instance.frames) & ~3, pixels.start + 8)
        starts = first + np.frombuffer(listed, "<u4").astype(np.int64)
        if not len(starts):
            starts = _walked(data, first, instance.frames)
        lengths = np.diff(starts, append=starts[-1:] + (item_length(data, int(starts[-1])) or 0) + 8)
        return [
            frame for n in sample_tiles(np.maximum(lengths, 0)) if (frame := _frame(data, int(starts[n])))
        ]


def item_length(data: BinaryIO, at: int) -> int | None:
    """Return the length of the item at an offset, or None."""
    head = os.pread(data.fileno(), 8, at)
    if len(head) < 8:
        return None
    group, number, length = struct.unpack("<HHI", head)
    return length if group << 16 | number == ITEM and length != UNDEFINED else None


def _walked(data: BinaryIO, first: int, frames: int) -> npt.NDArray[np.int64]:
    """Return the offsets of the items, found one by one; only the first if there is not one per frame."""
    starts, at = list[int](), first
    while len(starts) < min(frames, MOST_WALKED) and (length := item_length(data, at)) is not None:
        starts.append(at)
        at += 8 + length
    single = len(starts) == MOST_WALKED or item_length(data, at) is None
    return np.array(starts if single and starts else [first], np.int64)


def _frame(data: BinaryIO, at: int) -> bytes:
    length = item_length(data, at) or 0
    return os.pread(data.fileno(), length, at + 8) if length <= LARGEST_FRAME else b""
