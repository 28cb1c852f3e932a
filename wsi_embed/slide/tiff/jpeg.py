"""JPEG tiles of a TIFF (TIFF Technical Note 2), decoded by libjpeg-turbo with OpenSlide's settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import simplejpeg

if TYPE_CHECKING:
    from wsi_embed.slide.base import UInt8Array

RGB, YCBCR = 2, 6  # TIFF's photometric interpretations

SOI, EOI, SOS, DQT, DHT = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4
APP0, APP14, APP15 = 0xE0, 0xEE, 0xEF
BASELINE = (0xC0, 0xC1)  # Huffman coded, sequential
OTHER_FRAMES = frozenset({0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
# If a scan does not contain all components, there is one per component; its marker may also occur by chance.
MOST_SCANS = 16
# Adobe segment, which libjpeg uses if there is no JFIF segment; its last byte is the colour transform.
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


class JpegDecoder:
    """Decoder for the tiles of one directory.

    The caller decides about the colours (`photometric.py`), and marks in the tiles are ignored: many Aperio
    slides contain RGB in unmarked JPEGs, which decoders by themselves take for YCbCr.

    Args:
        tables: Quantisation and Huffman tables shared by all tiles, an abbreviated JPEG; may be empty.
        photometric: `RGB` or `YCBCR`.
        width: Width of a tile, pixels.
        height: Height of a tile, pixels.

    Raises:
        ValueError: If the tables are broken.
    """

    def __init__(self, tables: bytes, photometric: int, width: int, height: int) -> None:
        self._width, self._height = width, height
        head = [b"\xff", bytes([SOI]), _ADOBE, bytes([photometric == YCBCR])]
        if tables:
            head += [tables[at:end] for marker, at, end in segments(tables) if marker in (DQT, DHT)]
        self._head = b"".join(head)

    def check(self, data: bytes) -> None:
        """Check from its head that a tile can be decoded.

        Raises:
            ValueError: If the tile is not a baseline JPEG of three components with the size of a tile, or has
                a subsampling that the decoder does not support.
        """
        try:
            simplejpeg.decode_jpeg_header(self._whole(data))
        except KeyError as error:  # for example 4:4:1
            raise ValueError("a JPEG of unknown chroma subsampling") from error

    def decode(self, data: bytes, out: UInt8Array) -> None:
        """Decode a tile.

        Args:
            data: The tile as stored in the file.
            out: Array for the pixels, RGB, uint8 [h, w, 3], of a tile's size, or of 1/2, 1/4 or 1/8 of it,
                computed from the low frequencies only.

        Raises:
            ValueError: If the tile is damaged, or not a baseline JPEG of three components with the size of a
                tile.
        """
        height, width = out.shape[:2]
        # Exact transform and upsampling, as in OpenSlide: the fast variants gain little. The result has the
        # smallest size that is not below that of `out`; larger ones are rejected.
        simplejpeg.decode_jpeg(
            self._whole(data), "RGB", False, False, min_height=height, min_width=width, buffer=out
        )

    def _whole(self, data: bytes) -> bytes | bytearray:
        """Return a self-contained JPEG, with the colours given by the caller."""
        marks = []
        for marker, at, end in segments(data):
            if marker in (APP0, APP14):
                marks.append(at)
            elif marker in BASELINE:
                self._check_frame(data[at + 4 : end])
            elif marker in OTHER_FRAMES:
                raise ValueError("no baseline JPEG")
            elif marker == SOS and data[at + 4 : at + 5] != b"\x03" and data.count(b"\xff\xda") > MOST_SCANS:
                raise ValueError("a JPEG of too many scans")  # each would have to be decoded
        if not marks:
            return self._head + data[2:]
        whole = bytearray(self._head)
        whole += memoryview(data)[2:]
        for at in marks:
            whole[len(self._head) + at - 1] = APP15  # ignored by decoders
        return whole

    def _check_frame(self, frame: bytes) -> None:
        """Check a frame header: precision, height, width, number of components."""
        height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
        if (width, height) != (self._width, self._height):
            raise ValueError(
                f"a JPEG of {width} x {height} pixels in a tile of {self._width} x {self._height}"
            )
        if frame[:1] != b"\x08" or frame[5:6] != b"\x03":
            raise ValueError("not three components of 8 bits")


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments before the first scan, and of that scan's head.

    Raises:
        ValueError: If the data are not JPEG.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    at, last = 2, len(data) - 4
    while at <= last:
        if data[at] != 0xFF:
            raise ValueError("a JPEG with a broken head")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == EOI:
            return
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        yield marker, at, end
        if marker == SOS:
            return
        at = end
