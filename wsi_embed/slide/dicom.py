"""Which files of a folder are one DICOM slide."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import BinaryIO

from wsi_embed.slide.dicom_elements import SERIES_INSTANCE_UID, DicomError, DicomReader

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
        return _series_of(data)


def series_in(head: bytes) -> bytes | None:
    """SeriesInstanceUID by the first bytes of a file; None where they do not say it."""
    return _series_of(io.BytesIO(head))


def _series_of(data: BinaryIO) -> bytes | None:
    try:
        reader = DicomReader(data)
        for element in reader.elements():
            if element.tag == SERIES_INSTANCE_UID:
                return reader.value(element).data.rstrip(b"\x00 ")
            if element.tag > SERIES_INSTANCE_UID:  # tags ascend: there is none
                return None
    except DicomError:
        return None
    return None
