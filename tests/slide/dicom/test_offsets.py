"""Frames of DICOM pixel data, found by every table of offsets and without one."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from tests.made_formats.dicom import write_dicom
from tests.made_slides import he_pixels
from wsi_embed.slide.dicom.elements import DicomError
from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instance
from wsi_embed.slide.dicom.offsets import ITEM_HEAD, frame_spans, joined_items

FRAMES = [np.random.default_rng(n).bytes(n) for n in (10, 2, 700, 33, 4, 64)]  # also of odd length


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_dicom(tmp_path / "a", he_pixels(400, 600, seed=2), factors=(1,))[0]


def with_pixels(path: Path, data: bytes, trailing: bool = False, **attributes: Any) -> DicomInstance:
    """Replace the pixel data of a file; FRAMES are as many as its tiles."""
    dataset = pydicom.dcmread(path)
    dataset.PixelData = data
    dataset["PixelData"].is_undefined_length = True
    for name, value in attributes.items():
        setattr(dataset, name, value)
    if trailing:
        dataset.DataSetTrailingPadding = bytes(100)
    dataset.save_as(path)
    found = dicom_instance(path)
    assert found is not None
    return found


def stored(instance: DicomInstance) -> list[bytes]:
    spans, content = frame_spans(instance).tolist(), instance.path.read_bytes()
    return [
        joined_items(content[start:end], last=number == len(FRAMES) - 1)
        for number, (start, end) in enumerate(pairwise(spans))
    ]


@pytest.mark.parametrize("trailing", [False, True])
@pytest.mark.parametrize(("fragments", "table"), [(1, "basic"), (2, "basic"), (1, "none"), (1, "extended")])
def test_frames_are_those_that_pydicom_finds(fragments: int, table: str, trailing: bool, path: Path) -> None:
    frames = [frame if fragments == 1 else frame * 2 for frame in FRAMES]  # fragments are of even length
    if table == "extended":
        data, offsets, lengths = encapsulate_extended(frames)
        instance = with_pixels(
            path, data, trailing, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths
        )
    else:
        instance = with_pixels(path, encapsulate(frames, fragments, has_bot=table == "basic"), trailing)
    written = pydicom.dcmread(path).PixelData
    expected = list(generate_frames(written, number_of_frames=len(FRAMES)))
    found = stored(instance)
    assert found == expected
    assert [a[: len(b)] for a, b in zip(found, frames, strict=True)] == frames


@pytest.mark.parametrize("change", [-1, 1])
def test_without_a_table_there_must_be_an_item_for_each_frame(change: int, path: Path) -> None:
    frames = FRAMES[:change] if change < 0 else [*FRAMES, b"more"]
    instance = with_pixels(path, encapsulate(frames, has_bot=False))
    words = "5 items for 6 frames" if change < 0 else "more than 6 items for 6 frames"
    with pytest.raises(DicomError, match=words):
        frame_spans(instance)


def test_a_file_that_ends_before_its_last_frame_is_an_error(path: Path) -> None:
    instance = with_pixels(path, encapsulate(FRAMES))
    last = int(frame_spans(instance)[-2])
    os.truncate(path, last + ITEM_HEAD - 1)
    with pytest.raises(DicomError, match="ends before its last frame"):
        frame_spans(instance)


def test_two_tables_that_differ_are_an_error(path: Path) -> None:
    offsets = np.array([0, 10, 20, 30, 40, 50], "<u8")
    instance = with_pixels(path, encapsulate(FRAMES), ExtendedOffsetTable=offsets.tobytes())
    with pytest.raises(DicomError, match="its Basic and its Extended Offset Table differ"):
        frame_spans(instance)


@pytest.mark.parametrize("size", [0, 8, 40, 56, 41])
def test_an_extended_table_of_another_size_is_an_error(size: int, path: Path) -> None:
    data = encapsulate_extended(FRAMES)[0]
    table = (np.arange(7, dtype="<u8") * 20).tobytes()[:size]
    instance = with_pixels(path, data, ExtendedOffsetTable=table)
    with pytest.raises(DicomError, match="its Extended Offset Table is not that of 6 frames in order"):
        frame_spans(instance)


@given(data=st.binary(max_size=60), last=st.booleans())
def test_any_bytes_are_items_or_a_value_error(data: bytes, last: bool) -> None:
    head = b"\xfe\xff\x00\xe0\x04\x00\x00\x00abcd"
    for content in (data, head + data):
        try:
            found = joined_items(content, last=last)
        except ValueError:
            continue
        assert content.startswith(b"\xfe\xff\x00\xe0")
        assert len(found) <= len(content) - ITEM_HEAD
