"""Detection of DICOM files that OpenSlide would crash on or misread, because it trusts their numbers."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.dicom.elements import PER_FRAME_MOST, PREAMBLE, UNDEFINED, DicomError
from wsi_embed.slide.dicom.frames import item_length, positions
from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instances
from wsi_embed.slide.dicom.offsets import first_frame, offset_table
from wsi_embed.slide.tiff.jpeg import BASELINE, OTHER_FRAMES, segments
from wsi_embed.slide.tiff.level import MOST_TILES
from wsi_embed.slide.tiff.precheck import MOST_PIXELS_A_BYTE

MOST_NESTED = 64  # libdicom recurses for each level, and the stack is limited
MOST_FRAGMENTS = 20_000  # fragments of a file whose heads are checked
BLOCK = 1 << 16
SPARSE = ("TILED_SPARSE", "3D")  # libdicom reads the position of each frame of these
PIXELS = re.compile(rb"\xe0\x7f\x10\x00O[BW]\0\0")
ITEM_MARK = re.compile(rb"\xfe\xff(\x00\xe0....|\x0d\xe0\0\0\0\0)", re.DOTALL)
SLIDE_IMAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
OF_GLASS = frozenset({"LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER"})  # the third value of ImageType
ADVICE = "the file may be damaged or edited: copy it again, or export it anew"


def check_dicom(path: Path) -> None:
    """Check that the files of a DICOM slide are consistent where OpenSlide does not check them.

    Args:
        path: One of the slide's files; files of other formats are accepted.

    Raises:
        SlideError: If a file of the slide, or one beside it that OpenSlide opens too, is inconsistent.
        OSError: If a file cannot be read.
    """
    if not _is_dicom(path):
        return
    for file in path.parent.iterdir():
        if file.is_file() and _depth(file, *_state(file)) > MOST_NESTED:
            raise SlideError(f"its sequences are nested over {MOST_NESTED} deep", where=file, remedy=ADVICE)
    instances, firsts = dicom_instances(path), dict[str, DicomInstance]()
    if ignored := _larger_image(instances):
        raise SlideError(
            f"it has {_times(ignored.matrix)} pixels, more than every level, but its ImageType is "
            f"{'/'.join(ignored.image_type) or 'empty'}, which is not read",
            where=ignored.path,
            remedy="set its third value to VOLUME if it is a level, or remove the file",
        )
    for instance in instances:
        if "VOLUME" not in instance.image_type:  # the pixels of others are never read
            continue
        first = firsts.setdefault(instance.sop_instance or str(instance.path), instance)
        if fault := _instance_fault(instance, *_state(instance.path)) or _copy_fault(first, instance):
            raise SlideError(fault, where=instance.path, remedy=ADVICE)
    images: dict[str, list[DicomInstance]] = {}
    for instance in firsts.values():
        images.setdefault(instance.concatenation or str(instance.path), []).append(instance)
    for parts in images.values():
        if fault := _image_fault(parts):
            raise SlideError(fault, where=parts[0].path, remedy=ADVICE)


def _larger_image(instances: Sequence[DicomInstance]) -> DicomInstance | None:
    """Return a slide image that has more pixels than every level, and is no picture of the glass, or None."""
    levels = [_pixels(found) for found in instances if found.is_volume]
    others = (
        found
        for found in instances
        if found.sop_class == SLIDE_IMAGE and not OF_GLASS & {word.upper() for word in found.image_type}
    )
    return next((found for found in others if levels and _pixels(found) > max(levels)), None)


def _pixels(instance: DicomInstance) -> int:
    return instance.matrix[0] * instance.matrix[1]


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as data:
        return data.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=65536)  # every slide of a folder checks all files in it
def _depth(path: Path, size: int, changed: int) -> int:
    """Return the nesting depth of the items of a DICOM file before its pixels; 0 for other files."""
    try:
        with path.open("rb") as data:
            head = data.read(BLOCK)
            if head[PREAMBLE : PREAMBLE + 4] != b"DICM":
                return 0
            while not PIXELS.search(head) and len(head) < PER_FRAME_MOST and (more := data.read(len(head))):
                head += more
    except PermissionError:  # reported by OpenSlide if the file belongs to the slide
        return 0
    pixels = PIXELS.search(head)
    ends, deepest = list[float](), 0
    for mark in ITEM_MARK.finditer(head, 0, pixels.start() if pixels else len(head)):
        at = mark.start()
        while ends and ends[-1] <= at:
            ends.pop()
        if mark[1][0]:  # the end of an item
            if ends and ends[-1] == np.inf:
                ends.pop()
            continue
        length = int.from_bytes(mark[1][2:], "little")
        ends.append(np.inf if length == UNDEFINED else at + 8 + length)
        deepest = max(deepest, len(ends))
    return deepest


@functools.lru_cache(maxsize=128)  # a job opens a slide several times
def _instance_fault(instance: DicomInstance, size: int, changed: int) -> str | None:
    """Describe how a file contradicts its pixel data, or return None."""
    with instance.path.open("rb") as data:
        if fault := _pixels_fault(instance, data):
            return fault
        held = _frame_size(instance.frame_head)
        if held is not None and held != instance.tile:
            return f"its frames are {_times(held)}, but Columns and Rows say {_times(instance.tile)}"
        return _positions_fault(instance, data)


def _pixels_fault(instance: DicomInstance, data: BinaryIO) -> str | None:
    pixels, frames = instance.pixels, instance.frames
    if pixels is None:
        return "it has no pixel data"
    if pixels.length != UNDEFINED:
        columns, rows = instance.tile
        held = frames * rows * columns * instance.samples * instance.bits_allocated // 8
        if instance.photometric.endswith("_422"):
            held = held * 2 // 3
        if held <= pixels.length <= held + 1:
            return None
        return f"its {frames} frames of {_times(instance.tile)} are {held} bytes, but it has {pixels.length}"
    first = first_frame(instance, data)
    if first is None:
        return "its pixel data have no items"
    try:
        offsets = offset_table(instance, data)
    except DicomError as error:
        return str(error)
    if frames > MOST_FRAGMENTS:
        return None
    return _fragments_fault(data, first, [] if offsets is None else offsets.tolist(), frames)


def _fragments_fault(data: BinaryIO, first: int, offsets: Sequence[int], frames: int) -> str | None:
    """Describe how the frames' items contradict the table of offsets or their number, or return None."""
    starts, at = list[int](), first
    while len(starts) < MOST_FRAGMENTS and (length := item_length(data, at)) is not None:
        starts.append(at - first)
        at += 8 + length
    if len(starts) == MOST_FRAGMENTS:  # a frame may have several
        return None
    if not offsets and len(starts) != frames:
        return f"it says {frames} frames, but its pixel data have {len(starts)}"
    if not set(offsets) <= set(starts):
        return "its table of offsets points beside its frames"
    return None


def _frame_size(head: bytes) -> tuple[int, int] | None:
    """Return (columns, rows) of a JPEG or JPEG 2000 codestream from its first bytes; None for others."""
    if head.startswith(b"\xff\x4f\xff\x51") and len(head) >= 24:
        right, lower, left, upper = struct.unpack_from(">4I", head, 8)
        return right - left, lower - upper
    try:
        for marker, at, _ in segments(head):
            if (marker in BASELINE or marker in OTHER_FRAMES) and len(head) >= at + 9:
                rows, columns = struct.unpack_from(">HH", head, at + 5)
                return columns, rows
    except ValueError:  # no JPEG, or damaged: reported when it is decoded
        pass
    return None


def _positions_fault(instance: DicomInstance, data: BinaryIO) -> str | None:
    """Describe why not every frame of a sparsely tiled file has its own position, or return None."""
    if instance.organization == "TILED_FULL" or instance.pixels is None:
        return None
    sparse = instance.organization in SPARSE
    if instance.per_frame is None:
        return f"it is {instance.organization}, but its frames have no positions" if sparse else None
    kinds, places = positions(instance, data)
    if not kinds and not sparse:
        return None
    if len(kinds) != 2 * instance.frames or kinds != b"\x1e\x1f" * instance.frames:
        return f"not every one of its {instance.frames} frames has one position"
    if (places < 0).any() or (places >= instance.matrix).any() or (places % instance.tile).any():
        return f"frames lie outside of its {_times(instance.matrix)} pixels, or not on its grid of tiles"
    if instance.focal_planes * instance.optical_paths == 1 and len(np.unique(places, axis=0)) < len(places):
        return "several of its frames lie at one place"
    return None


def _copy_fault(first: DicomInstance, instance: DicomInstance) -> str | None:
    """Describe why a file is no copy of the one with the same identity, or return None."""
    same = replace(instance, path=first.path) == first and _state(instance.path)[0] == _state(first.path)[0]
    return None if same else f"it has the SOPInstanceUID of {first.path.name}, but other content"


def _image_fault(parts: Sequence[DicomInstance]) -> str | None:
    """Describe why the frames of all files of an image do not cover it, or return None."""
    first = parts[0]
    sizes = list(zip(first.matrix, first.tile, strict=True))
    tiles = -(-sizes[0][0] // sizes[0][1]) * -(-sizes[1][0] // sizes[1][1])
    places = tiles * first.focal_planes * first.optical_paths
    frames = sum(part.frames for part in parts)
    said = f"{frames} frames of {_times(first.tile)} for {_times(first.matrix)} pixels, which are {places}"
    full = first.organization == "TILED_FULL" or first.per_frame is None
    if places and frames > places and frames % places == 0:
        return None  # several focal planes that are not counted: rejected as such once the slide is open
    if frames > places or (frames < places and full):
        missing = " (is a file missing?)" if frames < places and first.concatenation else ""
        return f"it has {said}{missing}"
    pixels, size = first.matrix[0] * first.matrix[1], sum(part.path.stat().st_size for part in parts)
    if tiles > MOST_TILES or pixels > MOST_PIXELS_A_BYTE * size:
        return f"it has {said}, in {size} bytes"
    return _order_fault(sorted(parts, key=lambda part: part.frame_offset or 0))


def _order_fault(parts: Sequence[DicomInstance]) -> str | None:
    """Describe how the files of an image, sorted by their frames, contradict their order, or return None."""
    following = 0
    for part in parts:
        if (part.frame_offset is None and len(parts) > 1) or (part.frame_offset or 0) != following:
            return "its ConcatenationFrameOffsetNumber does not follow the part before (is a file missing?)"
        following += part.frames
    numbers = [part.part for part in parts if part.part is not None]
    if numbers != sorted(numbers):
        return "InConcatenationNumber and ConcatenationFrameOffsetNumber of its parts give different orders"
    return None


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
