"""Frames of a DICOM file: compressed samples for checking their colours, and their places on the image."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.colour.photometric import sample_tiles
from wsi_embed.slide.dicom.elements import ITEM, PER_FRAME_MOST, UNDEFINED
from wsi_embed.slide.dicom.instance import DicomInstance
from wsi_embed.util.file_parts import read_at

LARGEST_FRAME = 1 << 24  # bytes
MOST_WALKED = 2048  # frames that are searched for one by one without a table of offsets
# Column and row of the first pixel of a frame, counted from 1 (PS3.3, C.8.12.6.1).
POSITION = re.compile(rb"\x48\x00([\x1e\x1f])\x02SL\x04\x00(....)", re.DOTALL)


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
        listed = read_at(data.fileno(), min(table, 4 * instance.frames) & ~3, pixels.start + 8)
        starts = first + np.frombuffer(listed, "<u4").astype(np.int64)
        if not len(starts):
            starts = _walked(data, first, instance.frames)
        lengths = np.diff(starts, append=starts[-1:] + (item_length(data, int(starts[-1])) or 0) + 8)
        return [
            frame for n in sample_tiles(np.maximum(lengths, 0)) if (frame := _frame(data, int(starts[n])))
        ]


def frame_places(instance: DicomInstance) -> npt.NDArray[np.int32]:
    """Return (x, y) of the first pixel of each frame whose position is stated, int32 [frames, 2].

    Args:
        instance: File that `check_dicom` found consistent.

    Raises:
        OSError: If the file cannot be read.
    """
    with instance.path.open("rb") as data:
        return positions(instance, data)[1]


def positions(instance: DicomInstance, data: BinaryIO) -> tuple[bytes, npt.NDArray[np.int32]]:
    """Find the positions that the frames of an open file state.

    Returns:
        Last bytes of the tags that were found, column and row in turn if all is well; and (x, y) of the first
        pixel of each frame, int32 [frames, 2].

    Raises:
        OSError: If the file cannot be read.
    """
    if instance.per_frame is None or instance.pixels is None:
        return b"", np.empty((0, 2), np.int32)
    end = min(instance.per_frame.length, instance.pixels.start - instance.per_frame.start, PER_FRAME_MOST)
    found = POSITION.findall(read_at(data.fileno(), end, instance.per_frame.start))
    values = np.frombuffer(b"".join(place for _, place in found), "<i4")
    return b"".join(kind for kind, _ in found), values[: len(values) // 2 * 2].reshape(-1, 2) - 1


def item_length(data: BinaryIO, at: int) -> int | None:
    """Return the length of the item at an offset, or None."""
    head = read_at(data.fileno(), 8, at)
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
    return read_at(data.fileno(), length, at + 8) if length <= LARGEST_FRAME else b""
