"""Which series a DICOM file is of: against OpenSlide on real files, and on made ones with sequences."""

from __future__ import annotations

import struct
from pathlib import Path

import openslide
import pytest

from tests.made_slides import dicom_bytes
from wsi_embed.slide.dicom.files import dicom_series

UNDEFINED = 0xFFFFFFFF


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def element(group: int, number: int, kind: bytes, value: bytes, length: int | None = None) -> bytes:
    """One explicit little-endian element."""
    size = len(value) if length is None else length
    if kind in (b"SQ", b"UN", b"OB"):
        return struct.pack("<HH2sHI", group, number, kind, 0, size) + value
    return struct.pack("<HH2sH", group, number, kind, size) + value


def item(value: bytes, *, closed: bool) -> bytes:
    """One item of a sequence, with a length or with an end mark."""
    if closed:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    return struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + value + end


@pytest.mark.parametrize("closed_items", [True, False])
@pytest.mark.parametrize("closed_sequence", [True, False])
def test_a_series_that_is_only_referred_to_is_not_the_files(
    closed_items: bool, closed_sequence: bool, tmp_path: Path
) -> None:
    other = element(0x0020, 0x000E, b"UI", b"9.9.9\x00")
    inner = element(0x0008, 0x1199, b"SQ", item(other, closed=closed_items) * 2)
    items = item(inner + other, closed=closed_items) + item(b"", closed=closed_items)
    if closed_sequence:
        sequence = element(0x0008, 0x1115, b"SQ", items)
    else:
        end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        sequence = element(0x0008, 0x1115, b"SQ", items + end, UNDEFINED)
    own = element(0x0020, 0x000D, b"UI", b"5.5\x00") + element(0x0020, 0x000E, b"UI", b"1.2.3\x00")
    head = b"\x00" * 128 + b"DICM" + element(0x0008, 0x0016, b"UI", b"1.2\x00")
    assert dicom_series(write(tmp_path / "a.dcm", head + sequence + own)) == b"1.2.3"
    assert dicom_series(write(tmp_path / "b.dcm", head + sequence)) is None


def test_implicit_value_representations_are_not_guessed(tmp_path: Path) -> None:
    implicit = struct.pack("<HHI", 0x0020, 0x000E, 6) + b"1.2.3\x00"
    assert dicom_series(write(tmp_path / "a.dcm", b"\x00" * 128 + b"DICM" + implicit)) is None


def test_a_file_cut_short_has_no_series(tmp_path: Path) -> None:
    whole = dicom_bytes("1.2.3")
    for length in range(len(whole) - 7):
        assert dicom_series(write(tmp_path / "a.dcm", whole[:length])) is None


@pytest.mark.parametrize("series", ["1.2.3", "1.2.34"])
def test_the_padding_of_a_series_uid_is_not_part_of_it(tmp_path: Path, series: str) -> None:
    assert dicom_series(write(tmp_path / "a.dcm", dicom_bytes(series, b"\x20\x00"))) == series.encode()


def test_a_dicom_file_without_series_is_a_slide_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm", b"not DICOM" * 100)
    assert dicom_series(path) is None


@pytest.mark.parametrize("name", ["camelyon_lowres_jpeg.dcm", "camelyon_lowres_jpeg2000.dcm"])
def test_the_series_of_a_real_dicom_slide_is_what_openslide_says(shared_slides: Path, name: str) -> None:
    with openslide.OpenSlide(shared_slides / name) as slide:
        expected = slide.properties["dicom.SeriesInstanceUID"]
    assert dicom_series(shared_slides / name) == expected.encode()
