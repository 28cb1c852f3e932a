"""Orientation of a plain image from its EXIF data (EXIF 2.32, 4.6.4; PNG 3, 11.3.3.5)."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image

ORIENTATION, SHORT, LONG = 274, 3, 4
PNG = b"\x89PNG\r\n\x1a\n"
# Transposition for each orientation, as in viewers and Pillow's ImageOps.exif_transpose.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
MOST_CHUNKS = 1 << 20


def exif_turn(image: Image.Image, path: Path) -> int:
    """Return the orientation of an open PNG or JPEG image: a key of `TURNS`, or 1 for none.

    Raises:
        OSError: If the file cannot be read.
    """
    data = image.info.get("exif") or (_png_exif(path) if image.format == "PNG" else b"")
    try:
        # Pillow also reads the orientation from XMP, and from EXIF data in a text chunk of a PNG
        orientation = _orientation(data.removeprefix(b"Exif\0\0")) if data else _by_pillow(image)
    except struct.error:
        return 1  # broken EXIF data are ignored, as in viewers
    return orientation if orientation in TURNS else 1


def _by_pillow(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):
        return 1


def _orientation(exif: bytes) -> int:
    """Read the orientation from the first directory of EXIF data, which are a TIFF without pixels."""
    order = ">" if exif.startswith(b"MM") else "<"
    (start,) = struct.unpack_from(f"{order}4xI", exif)
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    for number in range(count):
        at = start + 2 + 12 * number
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at)
        if (tag, kind) == (ORIENTATION, SHORT):
            return int(value)
        if (tag, kind) == (ORIENTATION, LONG):
            return int(struct.unpack_from(f"{order}I", exif, at + 8)[0])
    return 1


def _png_exif(path: Path) -> bytes:
    """Return the EXIF data of a PNG that follow its pixels.

    Pillow finds those only when it decodes the image.
    """
    with path.open("rb", buffering=0) as data:
        at = len(PNG)
        for _ in range(MOST_CHUNKS):
            data.seek(at)
            head = data.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                break
            (length,) = struct.unpack(">I", head[:4])
            if head[4:] == b"eXIf":
                return data.read(min(length, 1 << 20))
            at += 12 + length
    return b""
