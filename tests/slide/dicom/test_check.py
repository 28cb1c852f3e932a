"""DICOM files that contradict themselves are refused before OpenSlide, and good ones are not."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.sequence import Sequence as Items

from tests.made_formats.dicom import write_dicom
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.dicom.check import check_dicom
from wsi_embed.slide.dicom.images import dicom_levels

PIXELS = he_pixels(600, 500)  # rows, columns: 2 x 3 frames
SPARSE: dict[str, Any] = {"tiling": "TILED_SPARSE"}
GOOD: dict[str, dict[str, Any]] = {
    "full": {},
    "uncompressed": {"coding": "none"},
    "jpeg 2000": {"coding": "jpeg 2000"},
    "sparse": SPARSE,
    "sparse, frames missing": {**SPARSE, "missing": (0, 3)},
    "parts": {"parts": 3},
    "sparse parts": {**SPARSE, "parts": 2, "missing": (5,)},
}


@pytest.mark.parametrize("options", GOOD.values(), ids=GOOD.keys())
@pytest.mark.parametrize("undefined", [False, True])
def test_good_files_pass(tmp_path: Path, options: dict[str, Any], undefined: bool) -> None:
    paths = write_dicom(tmp_path / "s", PIXELS, **options)
    for path in paths if undefined else ():
        change(path, without_lengths)
    check_dicom(paths[0])


def test_frames_without_an_offset_table_pass(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "s", PIXELS)[0]
    change(path, lambda d: set_pixels(d, encapsulate(frames_of(d), has_bot=False)))
    check_dicom(path)


def without_lengths(data: Dataset) -> None:
    """Write sequences and their items without lengths, which ends of both then mark."""
    for element in data:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                without_lengths(item)


def change(path: Path, how: Callable[[Dataset], object]) -> None:
    data = dcmread(path)
    how(data)
    data.save_as(path)


def frames_of(data: Dataset) -> list[bytes]:
    return list(generate_fragments(data.PixelData))[1:]


def set_pixels(data: Dataset, pixels: bytes) -> None:
    data.PixelData = pixels
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True


def set_offset(data: Dataset, number: int, offset: int) -> None:
    """Change an entry of the Basic Offset Table."""
    at = 8 + 4 * number
    data.PixelData = data.PixelData[:at] + offset.to_bytes(4, "little") + data.PixelData[at + 4 :]
    data["PixelData"].VR = "OB"


def position(data: Dataset, frame: int) -> Dataset:
    found: Dataset = data.PerFrameFunctionalGroupsSequence[frame].PlanePositionSlideSequence[0]
    return found


def set_column(data: Dataset, frame: int, column: int) -> None:
    position(data, frame).ColumnPositionInTotalImagePixelMatrix = column


def nested(depth: int) -> Dataset:
    data = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Items([data])
        data = outer
    return data


CHANGES: Sequence[tuple[str, dict[str, Any], Callable[[Dataset], object], str]] = (
    ("wider", {}, lambda d: setattr(d, "TotalPixelMatrixColumns", 2**31 - 1), "for 2147483647 x 600 pixels"),
    ("lower", {}, lambda d: setattr(d, "TotalPixelMatrixRows", 300), "6 frames of 256 x 256 for 500 x 300"),
    ("huge", SPARSE, lambda d: setattr(d, "TotalPixelMatrixColumns", 2**31 - 1), "bytes"),
    ("frames", {}, lambda d: setattr(d, "NumberOfFrames", 5), "Basic Offset Table"),
    ("columns", {}, lambda d: setattr(d, "Columns", 255), "frames are 256 x 256, but .* say 255 x 256"),
    ("columns 2000", {"coding": "jpeg 2000"}, lambda d: setattr(d, "Columns", 255), "frames are 256 x 256"),
    ("native", {"coding": "none"}, lambda d: setattr(d, "Columns", 255), "but it has 1179648"),
    ("offset beside", {}, lambda d: set_offset(d, 1, 2), "points beside its frames"),
    ("offset twice", {}, lambda d: set_offset(d, 1, 0), "6 frames in order"),
    ("offset far", {}, lambda d: set_offset(d, 5, 2**32 - 2), "points beside its frames"),
    ("no table", {}, lambda d: set_pixels(d, encapsulate(frames_of(d)[1:], has_bot=False)), "have 5"),
    ("no positions", SPARSE, lambda d: delattr(d, "PerFrameFunctionalGroupsSequence"), "no positions"),
    ("3D", {}, lambda d: setattr(d, "DimensionOrganizationType", "3D"), "is 3D, but .* no positions"),
    ("one frame less", SPARSE, lambda d: d.PerFrameFunctionalGroupsSequence.pop(), "one position"),
    (
        "no row",
        SPARSE,
        lambda d: delattr(position(d, 2), "RowPositionInTotalImagePixelMatrix"),
        "one position",
    ),
    ("outside", SPARSE, lambda d: set_column(d, 1, 513), "outside of its 500 x 600 pixels"),
    ("before", SPARSE, lambda d: set_column(d, 1, -255), "outside"),
    ("beside the grid", SPARSE, lambda d: set_column(d, 1, 200), "not on its grid"),
    ("two at one place", SPARSE, lambda d: set_column(d, 1, 1), "at one place"),
    ("part", {"parts": 2}, lambda d: setattr(d, "ConcatenationFrameOffsetNumber", 1), "part before"),
    ("no offset", {"parts": 2}, lambda d: delattr(d, "ConcatenationFrameOffsetNumber"), "part before"),
    (
        "no part",
        {"parts": 2},
        lambda d: delattr(d, "ConcatenationUID"),
        "3 frames of 256 x 256 for",
    ),
    ("nested", {}, lambda d: d.update(nested(65)), "over 64 deep"),
)


@pytest.mark.parametrize(("options", "how", "reason"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_contradictions_are_refused(
    tmp_path: Path, options: dict[str, Any], how: Callable[[Dataset], object], reason: str
) -> None:
    path = write_dicom(tmp_path / "s", PIXELS, **options)[0]
    change(path, how)
    with pytest.raises(SlideError, match=reason) as raised:
        open_slide(path)
    assert str(tmp_path) in str(raised.value)
    assert "export it anew" in str(raised.value)


def test_parts_whose_numbers_contradict_their_frames_are_refused(tmp_path: Path) -> None:
    first, second, *_ = write_dicom(tmp_path / "s", PIXELS, parts=2)
    change(first, lambda d: setattr(d, "ConcatenationFrameOffsetNumber", 3))
    change(second, lambda d: setattr(d, "ConcatenationFrameOffsetNumber", 0))
    with pytest.raises(SlideError, match="InConcatenationNumber and ConcatenationFrameOffsetNumber"):
        open_slide(first)


def test_a_missing_part_is_the_reason(tmp_path: Path) -> None:
    first, second, *_ = write_dicom(tmp_path / "s", PIXELS, parts=2)
    second.unlink()
    with pytest.raises(SlideError, match=r"3 frames of .* which are 6 \(is a file missing\?\)"):
        open_slide(first)


@pytest.mark.parametrize("attribute", ["SpecimenLabelInImage", "BurnedInAnnotation"])
def test_an_image_that_shows_the_label_is_no_level(attribute: str, tmp_path: Path) -> None:
    first, second, third, _ = write_dicom(tmp_path / "s", PIXELS, factors=(1, 2, 4))
    for path in (first, second):
        change(path, lambda d: setattr(d, attribute, "NO"))
    change(third, lambda d: setattr(d, attribute, "YES"))
    with open_slide(first) as slide:
        assert slide.level_sizes == [(500, 600), (250, 300)]
        assert slide.left_out == (
            f"4_0.dcm (125 x 150): the file calls it a picture of the label ({attribute})",
        )
    change(first, lambda d: setattr(d, attribute, "YES"))
    with pytest.raises(SlideError, match=rf"1_0\.dcm: it may show the name .* {attribute} is YES; export"):
        open_slide(first)


def test_a_file_beside_a_slide_that_openslide_would_open_is_looked_at(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "s", PIXELS)[0]
    other = write_dicom(tmp_path / "other", PIXELS)[0].rename(path.parent / "other")
    change(other, lambda d: d.update(nested(64)))
    check_dicom(path)
    change(other, lambda d: d.update(nested(70)))
    with pytest.raises(SlideError, match=str(other)):
        check_dicom(path)


@pytest.mark.parametrize("name", ["1.dicom", "1.ima", "1.bin", ".1"])
def test_a_file_of_any_name_is_checked_and_read(name: str, tmp_path: Path) -> None:
    whole, _, level, _ = write_dicom(tmp_path / "s", PIXELS, parts=2)
    whole = whole.rename(whole.with_name(name))
    with open_slide(level) as slide:
        assert slide.level_sizes[0] == (500, 600)
    change(whole, lambda d: set_pixels(d, encapsulate(frames_of(d)[:-1])))
    with pytest.raises(SlideError, match="of 3 frames"):
        check_dicom(level)


@pytest.mark.parametrize("name", ["0.dcm", "copy.dcm"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_copy_of_a_file_changes_nothing(number: int, name: str, tmp_path: Path) -> None:
    paths = write_dicom(tmp_path / "s", PIXELS, parts=2)
    with open_slide(paths[0]) as slide:
        sizes, whole = slide.level_sizes, slide.read(0, 0, 0, 500, 600)
    copy = Path(shutil.copy(paths[number], tmp_path / "s" / name))
    with open_slide(paths[0]) as slide:
        assert (slide.level_sizes, slide.warnings) == (sizes, ())
        assert (slide.read(0, 0, 0, 500, 600) == whole).all()
        assert [image.mpp for image in dicom_levels(paths[0], sizes)] == [(0.5, 0.5), (2, 2)]
    change(copy, lambda d: set_pixels(d, encapsulate([frame + b"\0\0" for frame in frames_of(d)])))
    with pytest.raises(SlideError, match="it has the SOPInstanceUID of"):
        open_slide(paths[0])


def test_the_case_of_the_container_does_not_matter(tmp_path: Path) -> None:
    first, level, _ = write_dicom(tmp_path / "s", PIXELS)
    change(first, lambda d: setattr(d, "ContainerIdentifier", "A-1"))
    change(level, lambda d: setattr(d, "ContainerIdentifier", "a-1 "))
    with open_slide(first) as slide:
        assert (slide.level_sizes, slide.left_out) == ([(500, 600), (125, 150)], ())


def test_a_series_without_its_finest_level_is_a_warning(tmp_path: Path) -> None:
    first, *levels, _ = write_dicom(tmp_path / "s", PIXELS, factors=(1, 2, 4))
    with open_slide(levels[0]) as slide:
        assert slide.warnings == ()
    first.write_bytes(b"")
    with open_slide(levels[1]) as slide:
        assert slide.level_sizes == [(250, 300), (125, 150)]
        assert slide.warnings == (
            "4_0.dcm: ImageType of its finest level, 2_0.dcm, is RESAMPLED: a finer one may be missing; copy "
            "all files of the series into one folder",
        )


@pytest.mark.parametrize("place", ["b", ".", "b/c"])
def test_a_series_without_its_finest_level_is_refused_if_that_is_nearby(place: str, tmp_path: Path) -> None:
    first, level, _ = write_dicom(tmp_path / "a", PIXELS)
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    moved = first.rename(tmp_path / place / "fine")
    with pytest.raises(
        SlideError, match="its series is split: a finer level, fine, is in another folder nearby"
    ):
        open_slide(level)
    with open_slide(moved) as slide:
        assert (slide.level_sizes, slide.warnings) == ([(500, 600)], ())


def test_coarse_levels_of_two_slides_side_by_side_are_not_one_series(tmp_path: Path) -> None:
    for name in "ab":
        first, level, _ = write_dicom(tmp_path / name, PIXELS)
        if name == "a":
            first.unlink()
            coarse = level
    with open_slide(coarse) as slide:
        assert slide.level_sizes == [(125, 150)]


def test_a_sparse_level_that_lacks_frames_where_level_0_has_content_is_left_out(tmp_path: Path) -> None:
    pixels = he_pixels(1100, 1300, seed=3)
    first, level, _ = write_dicom(tmp_path / "s", pixels, tiling="TILED_SPARSE", factors=(1, 2))
    change(level, lambda d: drop_frame(d, 4))
    with open_slide(first) as slide:
        assert slide.level_sizes == [(1300, 1100)]
        assert slide.left_out == ("level 1 (650 x 550): it lacks 1 tiles, also where level 0 has content",)


def test_frames_that_only_a_coarser_level_shows_are_a_warning(tmp_path: Path) -> None:
    pixels = he_pixels(1100, 1300, seed=3)
    paths = write_dicom(tmp_path / "s", pixels, tiling="TILED_SPARSE", factors=(1, 4), parts=3)
    with open_slide(paths[0]) as slide:
        assert slide.warnings == ()
    paths[2].unlink()  # the file does not say how many there are
    with open_slide(paths[0]) as slide:
        assert slide.level_sizes == [(1300, 1100), (325, 275)]
        (warning,) = slide.warnings
        assert "1_0.dcm: level 0 lacks tiles with content (at least" in warning
        assert "is a file of the slide missing" in warning


@pytest.mark.parametrize("colour", [0, 128, 243, 255])
def test_frames_that_were_not_scanned_are_no_warning(colour: int, tmp_path: Path) -> None:
    pixels = he_pixels(1100, 1300, seed=3)
    pixels[512:768] = pixels[:, 1024:] = colour
    missing = [n for n in range(30) if n // 6 == 2 or n % 6 > 3]
    options: dict[str, Any] = {"tiling": "TILED_SPARSE", "factors": (1, 4), "missing": missing}
    with open_slide(write_dicom(tmp_path / "s", pixels, **options)[0]) as slide:
        assert (len(slide.level_sizes), slide.warnings) == (2, ())


def drop_frame(data: Dataset, number: int) -> None:
    frames = frames_of(data)
    del frames[number], data.PerFrameFunctionalGroupsSequence[number]
    data.NumberOfFrames = len(frames)
    set_pixels(data, encapsulate(frames))


@pytest.mark.parametrize("word", ["Volume", "IMAGE", ""])
def test_a_finer_image_that_openslide_ignores_is_refused(word: str, tmp_path: Path) -> None:
    first, level, label = write_dicom(tmp_path / "s", PIXELS)
    kinds = ["ORIGINAL", "PRIMARY", word, "NONE"]
    for path in (first, level, label):
        with open_slide(path) as slide:
            assert slide.level_sizes[0] == (500, 600)
    set_kinds(first, kinds)
    for path in (level, label):
        with pytest.raises(
            SlideError, match=r"1_0\.dcm: it has 500 x 600 pixels, more than every level, but"
        ):
            open_slide(path)


@pytest.mark.parametrize(("word", "left_out"), [("volume", True), ("IMAGE", True), ("OVERVIEW", False)])
def test_a_coarser_image_that_openslide_ignores_is_named(word: str, left_out: bool, tmp_path: Path) -> None:
    first, level, _ = write_dicom(tmp_path / "s", PIXELS)
    set_kinds(level, ["DERIVED", "PRIMARY", word, "RESAMPLED"])
    name = f"4_0.dcm (125 x 150): its ImageType is DERIVED/PRIMARY/{word}/RESAMPLED"
    with open_slide(first) as slide:
        assert (slide.level_sizes, slide.left_out) == ([(500, 600)], (name,) * left_out)


@pytest.mark.parametrize("word", ["LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER"])
def test_a_picture_of_the_glass_may_be_larger_than_the_slide(word: str, tmp_path: Path) -> None:
    first, level, label = write_dicom(tmp_path / "s", PIXELS)
    label.unlink()
    set_kinds(first, ["ORIGINAL", "PRIMARY", word, "NONE"])
    set_kinds(level, ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    with open_slide(level) as slide:
        assert (slide.level_sizes, slide.warnings) == ([(125, 150)], ())


def set_kinds(path: Path, kinds: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pydicom, about lower case

        def set_them(data: Dataset) -> None:
            data.ImageType = kinds

        change(path, set_them)


def test_spacing_that_contradicts_the_sizes_is_a_warning(tmp_path: Path) -> None:
    paths = write_dicom(tmp_path / "s", PIXELS, mpp=(0.25, 0.25))
    with open_slide(paths[0]) as slide:
        assert slide.warnings == ()

    def spacing(data: Dataset) -> None:
        measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.PixelSpacing = [0.002, 0.002]

    change(paths[1], spacing)
    with open_slide(paths[0]) as slide:
        (warning,) = slide.warnings
    assert "1_0.dcm: PixelSpacing says 2 um per pixel of 4_0.dcm and 0.25 of level 0" in warning


@pytest.mark.parametrize("tiling", ["TILED_FULL", "TILED_SPARSE"])
def test_a_thousand_frames_take_milliseconds(tmp_path: Path, tiling: Any) -> None:
    pixels = np.broadcast_to(np.uint8(200), (32 * 256, 32 * 256, 3))
    path = write_dicom(tmp_path / "s", pixels, tiling=tiling, factors=(1,))[0]
    check_dicom(path)  # reads what is kept
    began = time.process_time()
    for _ in range(5):
        check_dicom(path)
    assert (time.process_time() - began) / 5 < 0.05


def test_a_file_with_an_empty_series_is_checked_as_others_are(tmp_path: Path) -> None:
    """OpenSlide reads it, and would read tiles of 7 columns from frames of 256."""
    first, *others = write_dicom(tmp_path / "s", PIXELS)
    for path in others:
        path.unlink()
    change(first, lambda d: setattr(d, "SeriesInstanceUID", ""))
    with open_slide(first) as slide:
        assert slide.level_sizes[0] == (500, 600)
    change(first, lambda d: setattr(d, "Columns", 7))
    with pytest.raises(SlideError, match="damaged or edited"):
        open_slide(first)
