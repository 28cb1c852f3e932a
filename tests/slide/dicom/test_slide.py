"""The DICOM reader: OpenSlide's pixels, on every kind of file that both read."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.made_formats.dicom import write_dicom
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.slide import Slide, open_slide
from wsi_embed.slide.conformance import SlideConformance
from wsi_embed.slide.decode_once import DecodeOnce
from wsi_embed.slide.decoded_slide import DecodedSlide

PIXELS = he_pixels(1000, 1100, seed=4)  # 5 x 4 frames of 256; both sides divide by 4
KINDS: dict[str, dict[str, Any]] = {
    "YCbCr": {},
    "YCbCr 4:2:0": {"coding": "jpeg 4:2:0"},
    "RGB": {"coding": "jpeg RGB"},
    "no table of offsets": {"table": "none"},
    "extended table of offsets": {"table": "extended"},
    "fragments": {"fragments": 3},
    "sparse": {"tiling": "TILED_SPARSE", "missing": [0, 7, 19], "factors": (1,)},
    "in parts": {"parts": 3},
    "sparse in parts": {
        "tiling": "TILED_SPARSE",
        "missing": [2],
        "parts": 2,
        "table": "extended",
        "factors": (1,),
    },
}


class TestConformance(SlideConformance):
    alone = False
    reader = "dicom"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_dicom(tmp_path / "a", PIXELS, "jpeg 4:2:0")[0]


class TestSparsePartsConformance(SlideConformance):
    alone = False
    reader = "dicom"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        options: dict[str, Any] = {"tiling": "TILED_SPARSE", "missing": [7], "parts": 2, "factors": (1,)}
        return write_dicom(tmp_path / "a", PIXELS, **options)[0]


def grid_of(slide: Slide, level: int, read_px: int, tile_px: int) -> TileGrid:
    plan = ReadPlan(level, read_px, tile_px, 1.0)
    return make_grid(plan, slide.level_scales[level], slide.level_sizes[level], slide.bounds, 0, "pad")


def both(path: Path) -> tuple[Slide, Slide]:
    return open_slide(path), open_slide(path, "openslide")


@pytest.mark.parametrize("name", KINDS)
def test_pixels_are_openslides_on_every_kind_of_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, original = Counter[int](), DecodeOnce._decode

    def counted(self: DecodeOnce, tile: int) -> UInt8Array:
        counts[tile] += 1
        return original(self, tile)

    monkeypatch.setattr(DecodeOnce, "_decode", counted)
    ours, theirs = both(write_dicom(tmp_path / "a", PIXELS, **KINDS[name])[0])
    with ours, theirs:
        assert (ours.reader, theirs.reader, ours.tile_size) == ("dicom", "openslide", (256, 256))
        assert not ours.reader_decides
        for level, (width, height) in enumerate(theirs.level_sizes):
            whole = theirs.read(level, 0, 0, width, height)
            assert np.array_equal(ours.read(level, 0, 0, width, height), whole)
            counts.clear()
            grid = grid_of(ours, level, 100, 50)
            for (_, a), (_, b) in zip(ours.read_tiles(grid), theirs.read_tiles(grid), strict=True):
                assert np.array_equal(a, b)
            lacking = len(KINDS[name].get("missing", ())) if level == 0 else 0
            assert sorted(counts.values()) == [1] * ((20 if level == 0 else 2) - lacking)


def test_a_level_between_whose_pixels_openslide_interpolates_is_left_to_it(tmp_path: Path) -> None:
    ours, theirs = both(write_dicom(tmp_path / "a", PIXELS[:998, :1099])[0])
    with ours, theirs:
        assert isinstance(ours, DecodedSlide)
        assert [level is None for level in ours._levels] == [False, True]
        assert not ours.reader_decides
        for level, (width, height) in enumerate(theirs.level_sizes):
            whole = theirs.read(level, 0, 0, width, height)
            assert np.array_equal(ours.read(level, 0, 0, width, height), whole)


def edited(path: Path, **attributes: Any) -> Path:
    data = pydicom.dcmread(path)
    for name, value in attributes.items():
        if value is None:
            del data[name]
        else:
            setattr(data, name, value)
    data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("options", "attributes", "reason"),
    [
        ({"coding": "jpeg 2000"}, {}, "its frames are no baseline JPEGs"),
        ({"coding": "none"}, {}, "its frames are no baseline JPEGs"),
        ({}, {"DimensionOrganizationType": None}, "its frames are organized as nothing"),
    ],
)
def test_what_is_left_to_openslide_and_why(
    options: dict[str, Any], attributes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = edited(write_dicom(tmp_path / "a", PIXELS[:300, :300], factors=(1,), **options)[0], **attributes)
    with open_slide(path) as slide:
        assert slide.reader == "openslide"
    with pytest.raises(SlideError) as caught:
        open_slide(path, "dicom")
    assert str(caught.value) == f"{path}: not for the DICOM reader ({reason}); use `reader='auto'`"


def test_parts_with_frames_at_one_place_are_left_to_openslide(tmp_path: Path) -> None:
    files = write_dicom(tmp_path / "a", PIXELS[:300, :600], tiling="TILED_SPARSE", parts=2, factors=(1,))
    first, second = (pydicom.dcmread(file) for file in files[:2])
    taken, moved = (
        data.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0] for data in (first, second)
    )
    for axis in ("Column", "Row"):
        name = f"{axis}PositionInTotalImagePixelMatrix"
        setattr(moved, name, getattr(taken, name))
    second.save_as(files[1])
    with open_slide(files[0]) as slide:
        assert slide.reader == "openslide"
    with pytest.raises(SlideError, match="several of its frames lie at one place"):
        open_slide(files[0], "dicom")


def test_a_slide_of_another_format_is_not_for_it(made_slide: Path, tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"not for the DICOM reader \(its format is "):
        open_slide(made_slide, "dicom")
    path = write_dicom(tmp_path / "a", PIXELS[:300, :300], factors=(1,))[0]
    with pytest.raises(SlideError, match=r"not for the TIFF reader \(its format is dicom\)"):
        open_slide(path, "tiff")


def frame_starts(path: Path) -> list[int]:
    """Offsets of the items of the frames of a file, found anew."""
    content, found = path.read_bytes(), []
    at = content.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    while content[at : at + 4] == b"\xfe\xff\x00\xe0":
        found.append(at)
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    return found


def overwrite(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def test_a_damaged_frame_fails_where_it_is_needed(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PIXELS, factors=(1,))[0]
    overwrite(path, frame_starts(path)[6] + 8, bytes(100))
    with open_slide(path) as slide:
        slide.read(0, 0, 0, 256, 256)
        with pytest.raises(SlideError) as caught:
            slide.read(0, 200, 200, 100, 100)
        assert str(caught.value) == (
            f"{path}: cannot be read (frame 6: no JPEG); the file may be damaged or truncated: copy it again"
        )
        slide.read(0, 600, 300, 256, 256)


def test_a_frame_of_another_size_than_said_is_one_line(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PIXELS, factors=(1,))[0]
    data = path.read_bytes()
    start = frame_starts(path)[6]
    size = data.index(b"\xff\xc0", start) + 5
    overwrite(path, size, (128).to_bytes(2, "big"))
    with (
        open_slide(path) as slide,
        pytest.raises(SlideError, match="frame 6: a JPEG of 256 x 128 pixels in a"),
    ):
        slide.read(0, 256, 256, 256, 256)


def test_a_frame_that_goes_beyond_the_next_is_one_line(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PIXELS, factors=(1,))[0]
    with open_slide(path) as slide:
        at = frame_starts(path)[6] + 4
        overwrite(path, at, (10**6).to_bytes(4, "little"))
        with pytest.raises(SlideError, match="frame 6: a frame that goes beyond its end"):
            slide.read(0, 256, 256, 256, 256)


def test_a_file_cut_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", PIXELS, factors=(1,))[0]
    with open_slide(path) as slide:
        slide.read(0, 0, 0, 10, 10)
        os.truncate(path, frame_starts(path)[10] + 100)
        slide.read(0, 0, 0, 256, 256)
        with pytest.raises(SlideError, match="frame 10: a frame that goes beyond its end"):
            slide.read(0, 0, 512, 256, 256)
        with pytest.raises(SlideError, match="frame 12: no frame where the table of offsets has one"):
            slide.read(0, 512, 512, 256, 256)


def swap(offsets: np.ndarray[Any, Any]) -> None:
    offsets[[1, 2]] = offsets[[2, 1]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swap, "its Extended Offset Table is not that of 20 frames in order"),
        (lambda o: o.__setitem__(5, o[4]), "its Extended Offset Table is not that of 20 frames in order"),
        (lambda o: o.__setitem__(0, 8), "its Extended Offset Table is not that of 20 frames in order"),
        (lambda o: o.__setitem__(19, 1 << 62), "its table of offsets points beside its frames"),
        (lambda o: o.__setitem__(5, o[5] + 2), "its table of offsets points beside its frames"),
    ],
)
def test_a_wrong_extended_table_of_offsets_is_refused(change: Any, reason: str, tmp_path: Path) -> None:
    """OpenSlide 4.0.1 ends the process on offsets that do not ascend."""
    path = write_dicom(tmp_path / "a", PIXELS, factors=(1,), table="extended")[0]
    offsets = np.frombuffer(pydicom.dcmread(path).ExtendedOffsetTable, "<u8").copy()
    change(offsets)
    edited(path, ExtendedOffsetTable=offsets.tobytes())
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert str(caught.value).startswith(f"{path}: {reason}; ")


def test_a_closed_slide_is_not_read(tmp_path: Path) -> None:
    slide = open_slide(write_dicom(tmp_path / "a", PIXELS, factors=(1,), parts=2)[0])
    before = len(os.listdir("/proc/self/fd"))
    slide.read(0, 0, 0, 1100, 1000)
    slide.close()
    assert len(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(SlideError, match="the slide is closed"):
        slide.read(0, 0, 0, 10, 10)
