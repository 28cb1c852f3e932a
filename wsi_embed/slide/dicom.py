"""Which files of a folder are one DICOM slide."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import BinaryIO

from wsi_embed.slide.dicom_elements import SERIES_INSTANCE_UID, DicomError, DicomReader

MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
HEAD = 1024 * 1024  # of a file, where its series is looked for


def named_as_dicom(path: Path) -> bool:
    """Whether a file may be DICOM by its name: `.dcm`, or, out of an archive, no extension or a bare UID."""
    suffix = path.suffix.lower()
    return suffix == ".dcm" or ((suffix == "" or suffix[1:].isdigit()) and not path.name.startswith("."))


def dicom_series(path: Path) -> bytes | None:
    """SeriesInstanceUID of an explicit little-endian DICOM file, or None.

    Sequences are skipped: the series that they refer to are other slides.

    Raises:
        OSError: The file cannot be read.
    """
    stat = path.stat()
    return _series(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=65536)  # every slide of a folder asks for every file beside it
def _series(path: Path, size: int, changed: int) -> bytes | None:
    with path.open("rb") as data:
        return _value_in(data, SERIES_INSTANCE_UID)


def media_class(path: Path) -> str | None:
    """Return the SOP class of a DICOM file (MediaStorageSOPClassUID); None if the file does not say it.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as data:
        found = _value_in(data, MEDIA_STORAGE_SOP_CLASS_UID)
    return None if found is None else found.decode("ascii", "replace")


def series_in(head: bytes) -> bytes | None:
    """SeriesInstanceUID by the first bytes of a file; None where they do not say it."""
    return _value_in(io.BytesIO(head), SERIES_INSTANCE_UID)


def _value_in(data: BinaryIO, wanted: int) -> bytes | None:
    """Return the value of an element outside of any sequence; None if the file does not have it."""
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
