"""Level of a DICOM slide whose frames are JPEGs, in one file or in several."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_embed.slide.colour.photometric import marked_colours
from wsi_embed.slide.compressed_level import Layout
from wsi_embed.slide.dicom.elements import DicomError
from wsi_embed.slide.dicom.frames import frame_places
from wsi_embed.slide.dicom.instance import DicomInstance
from wsi_embed.slide.dicom.offsets import ITEM_HEAD, Int64Array, frame_spans, joined_items
from wsi_embed.slide.jpeg_level import JpegLevel
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR
from wsi_embed.util.file_parts import open_to_read, read_at

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
# PhotometricInterpretation, which OpenSlide follows; it rejects other values.
WORDS = {"RGB": RGB, "YBR_FULL_422": YCBCR}
FULL, SPARSE = "TILED_FULL", "TILED_SPARSE"
NO_FRAME = -1


class DicomLevel(JpegLevel):
    """Image of a DICOM slide whose frames are JPEGs of RGB. Several threads may read it.

    Frames are looked up when the first one is read.

    Args:
        parts: Files of the image without copies, found consistent by `check_dicom`.

    Raises:
        DicomError: If its frames are of another kind, or several lie at one place.
        OSError: If a file cannot be read.
    """

    def __init__(self, parts: Sequence[DicomInstance]) -> None:
        self._parts = sorted(parts, key=lambda part: part.frame_offset or 0)
        first = self._parts[0]
        for part in self._parts:
            _check_kind(part, first)
        layout = Layout(*first.matrix, *first.tile)
        if not layout.usual:
            raise DicomError(str(layout))
        super().__init__(layout, WORDS[first.photometric])
        self._check_frames()
        try:
            for part in self._parts:
                self._decoder.check(part.frame_head)
            self._use(self.said, {marked_colours(part.frame_head) for part in self._parts})
        except ValueError as error:
            raise DicomError(str(error)) from error
        self._handles: dict[int, int] = {}
        self._lock = threading.Lock()
        self._closed = False

    def _check_frames(self) -> None:
        frames, tiles = sum(part.frames for part in self._parts), self.layout.tiles
        full = self._parts[0].organization == FULL
        if frames > tiles or (full and frames != tiles):
            raise DicomError(f"it has {frames} frames for {tiles} tiles")
        # `check_dicom` looks for such frames in each file by itself
        if len(self._parts) > 1 and not full and np.count_nonzero(~self.missing) < frames:
            raise DicomError("several of its frames lie at one place")

    @functools.cached_property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Whether each tile is missing in the files, bool [tiles]."""
        return np.asarray(self._frames[:, 0] == NO_FRAME)

    @functools.cached_property
    def _frames(self) -> npt.NDArray[np.int32]:
        """Number of the file and of its frame for each tile, int32 [tiles, 2]; -1 for missing tiles."""
        counts = [part.frames for part in self._parts]
        numbers = np.repeat(np.arange(len(counts)), counts)
        frames = np.stack([numbers, np.concatenate([np.arange(count) for count in counts])], 1)
        found = np.full((self.layout.tiles, 2), NO_FRAME, np.int32)
        if self._parts[0].organization == FULL:
            found[:] = frames
        else:
            corners = np.concatenate([frame_places(part) for part in self._parts])
            columns, rows = (corners // self._parts[0].tile).T
            found[rows * self.layout.across + columns] = frames
        return found

    @functools.cached_property
    def _spans(self) -> list[Int64Array]:
        """Offsets of the frames of each file; see `frame_spans`."""
        return list(map(frame_spans, self._parts))

    def _stored(self, tile: int) -> bytes:
        number, frame = self._frames[tile].tolist()
        start, end = self._spans[number][frame : frame + 2].tolist()
        last = frame == self._parts[number].frames - 1
        if last:  # other elements may follow
            end = min(end, start + ITEM_HEAD + self._most_bytes)
        self._check_bytes(end - start - ITEM_HEAD)
        data = read_at(self._handle(number), end - start, start)
        return joined_items(data, last=last)

    def _place(self, tile: int) -> tuple[Path, str]:
        number, frame = self._frames[tile].tolist()
        return self._parts[number].path, f"frame {frame}"

    def _handle(self, number: int) -> int:
        """Return the open file of a part."""
        with self._lock:
            if self._closed:
                raise OSError("the slide is closed")
            if number not in self._handles:
                self._handles[number] = open_to_read(self._parts[number].path)
            return self._handles[number]

    def close(self) -> None:
        """Close the files. May be called several times; reading afterwards fails."""
        with self._lock:
            self._closed = True
            while self._handles:
                os.close(self._handles.popitem()[1])


def _check_kind(part: DicomInstance, first: DicomInstance) -> None:
    if part.transfer_syntax != JPEG_BASELINE:
        raise DicomError("its frames are no baseline JPEGs")
    if (part.samples, part.bits_allocated, part.bits_stored) != (3, 8, 8) or part.photometric not in WORDS:
        raise DicomError("its pixels are not RGB of 8 bits")
    if part.organization not in (FULL, SPARSE):
        raise DicomError(f"its frames are organized as {part.organization or 'nothing'}")
    if (part.matrix, part.tile, part.photometric, part.organization) != (
        first.matrix, first.tile, first.photometric, first.organization,
    ):  # fmt: skip
        raise DicomError("its files are of several kinds")
