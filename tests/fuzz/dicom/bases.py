"""Small DICOM series of the picture, to be mutated."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.case import Files
from tests.fuzz.dicom.elements import PREAMBLE, Element, parsed, written
from tests.fuzz.picture import HEIGHT, MPP, PICTURE, WIDTH
from tests.made_formats.dicom import write_dicom

ORIGIN, X_OFFSET, Y_OFFSET = 0x00480008, 0x0040072A, 0x0040073A
VOLUME_WIDTH, VOLUME_HEIGHT, FRAME_OF_REFERENCE, CHARSET = 0x00480001, 0x00480002, 0x00200052, 0x00080005
META_LENGTH = 0x00020000
RANDOM_UID, MADE_UID = re.compile(rb"1\.2\.826\.0\.1\.3680043\.8\.498\.[0-9.]+"), b"1.2.3."

BASES: dict[str, Callable[[Path], list[Path]]] = {
    "jpeg": lambda f: write_dicom(f, PICTURE, "jpeg"),
    "jpeg, facts": lambda f: write_dicom(f, PICTURE, "jpeg", factors=(1, 2)),
    "jpeg, levels": lambda f: write_dicom(f, PICTURE, "jpeg", factors=(1, 2, 4)),
    "jpeg, parts": lambda f: write_dicom(f, PICTURE, "jpeg", parts=2, suffix=""),
    "jpeg, rgb": lambda f: write_dicom(f, PICTURE, "jpeg RGB"),
    "jpeg, sparse": lambda f: write_dicom(f, PICTURE, "jpeg", tiling="TILED_SPARSE"),
    "jpeg 2000": lambda f: write_dicom(f, PICTURE, "jpeg 2000 lossless"),
    "uncompressed": lambda f: write_dicom(f, PICTURE, "none"),
}


def base_files(folder: Path, real: Path | None = None) -> dict[str, Files]:
    """Write every base, and return their contents."""
    files = {}
    for name, write in BASES.items():
        series = folder / "series"
        paths, uids = write(series), dict[bytes, bytes]()
        files[name] = {path.name: _renumbered(path.read_bytes(), uids) for path in paths}
        if name == "jpeg, facts":
            files[name] = {file: _with_facts(content) for file, content in files[name].items()}
        shutil.rmtree(series)
    return files


def _renumbered(content: bytes, uids: dict[bytes, bytes]) -> bytes:
    """Replace random UIDs by the first numbers, so that cases can be made again."""

    def number(match: re.Match[bytes]) -> bytes:
        return uids.setdefault(match[0], MADE_UID + str(len(uids) + 10).encode())

    dataset = parsed(content)
    for element in dataset:
        if element.vr == b"UI" and isinstance(element.value, bytes):
            value = RANDOM_UID.sub(number, element.value.rstrip(b"\0"))
            element.value = value + b"\0" * (len(value) % 2)
    head = [element for element in dataset if element.tag >> 16 == 2 and element.tag != META_LENGTH]
    dataset[0].value = struct.pack("<I", len(written(head)) - PREAMBLE)
    return written(dataset)


def _with_facts(content: bytes) -> bytes:
    """Add where on the glass an instance lies, and how large it is there."""
    dataset = parsed(content)
    offsets = [Element(X_OFFSET, b"DS", b"10.0"), Element(Y_OFFSET, b"DS", b"20.0")]
    dataset += [
        Element(CHARSET, b"CS", b"ISO_IR 192"),
        Element(FRAME_OF_REFERENCE, b"UI", b"1.2.3.4\0"),
        Element(VOLUME_WIDTH, b"FL", struct.pack("<f", WIDTH * MPP / 1000)),
        Element(VOLUME_HEIGHT, b"FL", struct.pack("<f", HEIGHT * MPP / 1000)),
        Element(ORIGIN, b"SQ", [offsets]),
    ]
    return written(sorted(dataset, key=lambda element: element.tag))
