"""Assignment of a folder's files to DICOM slides."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import BinaryIO

from wsi_embed.slide.dicom.elements import SERIES_INSTANCE_UID, DicomError, DicomReader

MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
DIRECTORY = "1.2.840.10008.1.3.10"  # SOP class of a DICOMDIR
PREAMBLE = 128
HEAD = 1024 * 1024  # bytes of a file in which its series is searched for
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".dicm", ".dic", ".ima", ".img"})


def named_as_dicom(path: Path) -> bool:
    """Return whether a file may be DICOM by its name: such an extension, none, or a bare UID.

    Files from archives often have no extension, or a UID as name.
    """
    suffix = path.suffix.lower()
    return suffix in DICOM_SUFFIXES or (
        (suffix == "" or suffix[1:].isdigit()) and not path.name.startswith(".")
    )


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its first bytes, damaged or not; a directory of files is not meant.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as data:
        marked = data.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"
    return marked and path.name.upper() != "DICOMDIR" and media_class(path) != DIRECTORY


def series_files(path: Path) -> list[Path]:
    """Return all files of a DICOM file's series in its folder, by name; empty if it has no series.

    As OpenSlide does, files of any name are considered.

    Raises:
        OSError: If the folder cannot be listed, or a file named like DICOM cannot be read.
    """
    series = dicom_series(path) if path.is_file() else None
    if series is None:
        return []
    return [file for file in sorted(path.parent.iterdir()) if file.is_file() and _is_of(file, series)]


def _is_of(file: Path, series: bytes) -> bool:
    try:
        return dicom_series(file) == series
    except OSError:
        if named_as_dicom(file):
            raise
        return False


def dicom_series(path: Path) -> bytes | None:
    """Return the SeriesInstanceUID of an explicit little-endian DICOM file, or None.

    Sequences are skipped, because the series in them refer to other slides.

    Raises:
        OSError: If the file cannot be read.
    """
    stat = path.stat()
    return _series(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=65536)  # every slide of a folder checks all files in it
def _series(path: Path, size: int, changed: int) -> bytes | None:
    with path.open("rb") as data:
        return _value_in(data, SERIES_INSTANCE_UID)


def media_class(path: Path) -> str | None:
    """Return the SOP class of a DICOM file (MediaStorageSOPClassUID), or None.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as data:
        found = _value_in(data, MEDIA_STORAGE_SOP_CLASS_UID)
    return None if found is None else found.decode("ascii", "replace")


def series_in(head: bytes) -> bytes | None:
    """Return the SeriesInstanceUID from the first bytes of a file, or None."""
    return _value_in(io.BytesIO(head), SERIES_INSTANCE_UID)


def _value_in(data: BinaryIO, wanted: int) -> bytes | None:
    """Return the value of an element outside of any sequence, or None."""
    try:
        reader = DicomReader(data)
        for element in reader.elements():
            if element.tag == wanted:
                return reader.value(element).data.rstrip(b"\x00 ")
            if element.tag > wanted:  # tags ascend: there is none
                return None
    except DicomError:
        return None
    return None
