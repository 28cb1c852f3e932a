from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.made_slides import dicom_bytes
from wsi_embed.slide.fingerprint import HEAD_TAIL, fingerprint, slide_files


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_it_is_32_hexadecimal_digits(tmp_path: Path) -> None:
    digest = fingerprint(write(tmp_path / "a.svs", b"pixels"))
    assert len(digest) == 32
    assert int(digest, 16) >= 0


def test_name_folder_and_time_do_not_matter(tmp_path: Path) -> None:
    a = write(tmp_path / "a.svs", b"pixels")
    b = write(tmp_path / "other" / "b.tif", b"pixels")
    os.utime(b, (1, 1))
    assert fingerprint(a) == fingerprint(b)


@pytest.mark.parametrize("size", [1, HEAD_TAIL, HEAD_TAIL + 1, 2 * HEAD_TAIL - 1, 2 * HEAD_TAIL])
def test_every_byte_of_a_small_file_matters(tmp_path: Path, size: int) -> None:
    content = bytes(size)
    before = fingerprint(write(tmp_path / "a.svs", content))
    for at in {0, size // 2, min(HEAD_TAIL, size - 1), size - 1}:
        assert fingerprint(write(tmp_path / "b.svs", changed(content, at))) != before


def test_head_tail_and_size_of_a_large_file_matter(tmp_path: Path) -> None:
    content = bytes(3 * HEAD_TAIL)
    before = fingerprint(write(tmp_path / "a.svs", content))
    for other in (changed(content, HEAD_TAIL - 1), changed(content, 2 * HEAD_TAIL), content + b"\0"):
        assert fingerprint(write(tmp_path / "b.svs", other)) != before


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        fingerprint(tmp_path / "gone.svs")


def mrxs(folder: Path, name: str = "a", data: bytes = b"tiles", more: bytes = b"index") -> Path:
    write(folder / name / "Slidedat.ini", b"[GENERAL]")
    write(folder / name / "Data0000.dat", data)
    write(folder / name / "sub" / "Index.dat", more)
    return write(folder / f"{name}.mrxs", b"a picture")


def test_all_files_of_an_mrxs_folder_belong_to_the_slide(tmp_path: Path) -> None:
    path = mrxs(tmp_path)
    write(tmp_path / "b" / "Data0000.dat", b"of another slide")
    names = [p.relative_to(tmp_path).as_posix() for p in slide_files(path)]
    assert names == ["a.mrxs", "a/Data0000.dat", "a/Slidedat.ini", "a/sub/Index.dat"]


def test_any_file_of_an_mrxs_folder_changes_the_fingerprint(tmp_path: Path) -> None:
    before = fingerprint(mrxs(tmp_path / "1"))
    assert fingerprint(mrxs(tmp_path / "2", data=b"tilez")) != before
    assert fingerprint(mrxs(tmp_path / "3", more=b"indices")) != before
    write(tmp_path / "1" / "a" / "Data0001.dat", b"more")
    assert fingerprint(tmp_path / "1" / "a.mrxs") != before


def test_an_mrxs_slide_can_be_moved_and_renamed(tmp_path: Path) -> None:
    assert fingerprint(mrxs(tmp_path / "1")) == fingerprint(mrxs(tmp_path / "2", name="renamed"))


def test_an_mrxs_file_without_its_folder_is_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrxs", b"a picture")
    assert slide_files(path) == [path]


@pytest.mark.parametrize("suffix", [".vms", ".vmu", ".VMS"])
def test_files_that_a_vms_index_names_belong_to_the_slide(tmp_path: Path, suffix: str) -> None:
    index = b"[Virtual]\r\nImageFile=b.jpg\r\nImageFile(1,0)=a.jpg\r\nNoLayers=1\r\nGone=c.jpg\r\n"
    path = write(tmp_path / f"slide{suffix}", index)
    parts = [write(tmp_path / name, b"jpeg") for name in ("a.jpg", "b.jpg")]
    write(tmp_path / "unrelated.jpg", b"jpeg")
    assert slide_files(path) == [path, *parts]
    before = fingerprint(path)
    write(tmp_path / "unrelated.jpg", b"changed")
    assert fingerprint(path) == before
    write(tmp_path / "b.jpg", b"jpfg")
    assert fingerprint(path) != before


def test_a_vms_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "secret.jpg", b"jpeg")
    path = write(tmp_path / "sub" / "a.vms", b"ImageFile=../secret.jpg\n")
    assert slide_files(path) == [path]


def test_dicom_files_of_one_series_are_one_slide(tmp_path: Path) -> None:
    first = write(tmp_path / "1.dcm", dicom_bytes("1.2.3", b"level 0"))
    second = write(tmp_path / "2.dcm", dicom_bytes("1.2.3", b"level 1"))
    write(tmp_path / "3.dcm", dicom_bytes("1.2.34", b"another slide"))
    assert slide_files(first) == slide_files(second) == [first, second]
    before = fingerprint(first)
    assert fingerprint(second) == before
    write(tmp_path / "3.dcm", dicom_bytes("1.2.34", b"changed"))
    assert fingerprint(first) == before
    write(second, dicom_bytes("1.2.3", b"level 2"))
    assert fingerprint(first) != before


@pytest.mark.parametrize("name", ["2.dicom", "2.ima", "2.bin", ".2", "a copy.tif", "2.DCM", "1_0"])
def test_the_files_of_a_series_are_found_by_their_content(name: str, tmp_path: Path) -> None:
    first = write(tmp_path / "1.dcm", dicom_bytes("1.2.3", b"level 0"))
    second = write(tmp_path / name, dicom_bytes("1.2.3", b"level 1"))
    write(tmp_path / "other.dicom", dicom_bytes("1.2.34", b"another slide"))
    write(tmp_path / "notes.txt", b"1.2.3")
    assert set(slide_files(first)) == set(slide_files(second)) == {first, second}
    before = fingerprint(first)
    assert fingerprint(second) == before
    write(second, dicom_bytes("1.2.3", b"level 2"))
    assert fingerprint(first) != before


def test_the_fingerprint_of_a_dicom_slide_is_that_of_its_files_by_name(tmp_path: Path) -> None:
    parts = [dicom_bytes("1.2.3", more) for more in (b"level 0", b"level 1")]
    for name, content in zip(("1.dcm", "2"), parts, strict=True):
        write(tmp_path / name, content)
    digest = hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts))
    assert fingerprint(tmp_path / "1.dcm") == digest.hexdigest()[:32]
