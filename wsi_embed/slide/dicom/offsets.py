"""Positions of the frames in the compressed pixel data of a DICOM file (PS3.5, A.4)."""

from __future__ import annotations

import functools
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.dicom.elements import ITEM, UNDEFINED, DicomError, Element
from wsi_embed.slide.dicom.frames import item_length
from wsi_embed.slide.dicom.instance import DicomInstance
from wsi_embed.util.file_parts import read_at

Int64Array = npt.NDArray[np.int64]
ITEM_HEAD = 8  # bytes: tag and length


def frame_spans(instance: DicomInstance) -> Int64Array:
    """Return where each frame begins, and where the last one ends at the latest, int64 [frames + 1].

    Frames are found by a table of offsets, if the file has one; otherwise items are counted, one per frame.

    Args:
        instance: File of compressed frames.

    Raises:
        DicomError: If the table or the items are not those of the file's frames.
        OSError: If the file cannot be read.
    """
    state = instance.path.stat()
    return _spans(instance, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=32)  # a job opens a slide several times; 8 bytes per frame
def _spans(instance: DicomInstance, size: int, changed: int) -> Int64Array:
    with instance.path.open("rb") as data:
        first = first_frame(instance, data)
        if first is None:
            raise DicomError("its pixel data have no items")
        offsets = offset_table(instance, data)
        starts = _counted(data, first, instance.frames) if offsets is None else first + offsets
    spans = np.append(starts, size)
    if (np.diff(spans) < ITEM_HEAD).any():
        raise DicomError("it ends before its last frame")
    spans.setflags(write=False)
    return spans


def first_frame(instance: DicomInstance, data: BinaryIO) -> int | None:
    """Return the offset of the first frame of an open file, after its Basic Offset Table, or None."""
    if instance.pixels is None or instance.pixels.length != UNDEFINED:
        return None
    table = item_length(data, instance.pixels.start)
    return None if table is None else instance.pixels.start + ITEM_HEAD + table


def offset_table(instance: DicomInstance, data: BinaryIO) -> Int64Array | None:
    """Return the offsets of the frames of an open file from its first frame, int64 [frames].

    Libraries believe the tables, and end the process on offsets that do not ascend.

    Returns:
        The offsets in the Extended or the Basic Offset Table; None without a table.

    Raises:
        DicomError: If a table is not that of as many frames in order, or the two differ.
    """
    tables = list[Int64Array]()
    if instance.extended is not None:
        tables.append(_table(instance, data, "Extended", instance.extended, "<i8"))
    if instance.pixels is not None and (length := item_length(data, instance.pixels.start)):
        basic = Element(ITEM, b"", instance.pixels.start + ITEM_HEAD, length)
        tables.append(_table(instance, data, "Basic", basic, "<u4"))
    if len(tables) == 2 and (tables[0] != tables[1]).any():
        raise DicomError("its Basic and its Extended Offset Table differ")
    return tables[0] if tables else None


def _table(instance: DicomInstance, data: BinaryIO, name: str, table: Element, kind: str) -> Int64Array:
    width = np.dtype(kind).itemsize
    size = min(table.length, width * (instance.frames + 1))  # one more, to see that there are too many
    listed = read_at(data.fileno(), size, table.start)
    offsets = np.frombuffer(listed[: len(listed) // width * width], kind).astype(np.int64)
    if len(offsets) != instance.frames or offsets[0] or (np.diff(offsets) <= 0).any():
        raise DicomError(f"its {name} Offset Table is not that of {instance.frames} frames in order")
    return offsets


def _counted(data: BinaryIO, first: int, frames: int) -> Int64Array:
    """Return the offsets of the items, one per frame, found one by one.

    Raises:
        DicomError: If there are more or fewer items.
    """
    starts, at = np.empty(frames, np.int64), first
    for frame in range(frames):
        length = item_length(data, at)
        if length is None:
            raise DicomError(f"its pixel data have {frame} items for {frames} frames")
        starts[frame] = at
        at += ITEM_HEAD + length
    if item_length(data, at) is not None:
        raise DicomError(f"its pixel data have more than {frames} items for {frames} frames")
    return starts


def joined_items(data: bytes, *, last: bool) -> bytes:
    """Return a frame without the heads of its items; an item is a fragment of the frame.

    Args:
        data: The frame's items.
        last: Whether other elements may follow, as after the last frame.

    Raises:
        ValueError: If these are no items.
    """
    parts, at = [], 0
    while at + ITEM_HEAD <= len(data):
        group, number = data[at : at + 2], data[at + 2 : at + 4]
        tag = int.from_bytes(group, "little") << 16 | int.from_bytes(number, "little")
        if tag != ITEM:
            break
        end = at + ITEM_HEAD + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            raise ValueError("a frame that goes beyond its end")
        parts.append(data[at + ITEM_HEAD : end])
        at = end
    if not parts or (at != len(data) and not last):
        raise ValueError("no frame where the table of offsets has one")
    return parts[0] if len(parts) == 1 else b"".join(parts)
