"""JPEG tiles: colours as the TIFF says, and nothing larger than it says."""

from __future__ import annotations

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.made_formats.jpeg_tiles import Kind, encode, segments, without_tables
from tests.made_formats.pixels import jpeg_grey
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.slide.tiff.jpeg import MOST_SCANS, RGB, YCBCR, JpegDecoder

TILE = he_pixels(64, 80, seed=6)
JPEG = encode(TILE, Kind("ycbcr", "444"), 95)


def decoded(data: bytes, tables: bytes = b"", photometric: int = YCBCR, scale: int = 1) -> UInt8Array:
    out = np.zeros((64 // scale, 80 // scale, 3), np.uint8)
    JpegDecoder(tables, photometric, 80, 64).decode(data, out)
    return out


def test_a_tile_is_what_other_decoders_make_of_a_plain_one() -> None:
    plain = simplejpeg.encode_jpeg(TILE, 90, "RGB", "420")
    with Image.open(io.BytesIO(plain)) as image:
        assert np.array_equal(decoded(plain), np.asarray(image))


@pytest.mark.parametrize("marks", ["none", "jfif", "adobe", "lie", "both"])
@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_colours_are_what_the_tiff_says_whatever_the_jpeg_says(photometric: str, marks: str) -> None:
    data = encode(TILE, Kind(photometric, "444", marks), 97)  # type: ignore[arg-type]
    right, wrong = (RGB, YCBCR) if photometric == "rgb" else (YCBCR, RGB)
    assert np.abs(decoded(data, photometric=right).astype(int) - TILE).mean() < 3
    assert np.abs(decoded(data, photometric=wrong).astype(int) - TILE).mean() > 20


def test_tables_are_taken_from_the_tiff_and_only_tables() -> None:
    tables, rest = without_tables(JPEG)
    assert np.array_equal(decoded(rest, tables), decoded(JPEG))
    restart = b"\xff\xdd\x00\x04\x00\x01"  # an interval of restart marks, which lasts for one image
    lies = encode(TILE, Kind("rgb", "444", "both"))  # of marks and frame nothing may stay
    assert np.array_equal(decoded(rest, tables[:2] + restart + tables[2:]), decoded(JPEG))
    assert np.array_equal(decoded(JPEG, tables[:2] + lies[2:20] + tables[2:]), decoded(JPEG))
    with pytest.raises(ValueError, match="not defined"):
        decoded(rest)


def test_fill_bytes_and_unknown_segments_are_skipped() -> None:
    comment = b"\xff\xff\xff\xfe\x00\x06\xff\xd8\xff\xda"
    exif = b"\xff\xe1\x00\x08Exif\x00\x00"
    assert np.array_equal(decoded(JPEG[:2] + comment + exif + JPEG[2:]), decoded(JPEG))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_part_of_the_size_is_close_to_an_area_average(scale: int) -> None:
    small = decoded(JPEG, scale=scale)
    plain = decoded(JPEG).reshape(64 // scale, scale, 80 // scale, scale, 3).mean((1, 3))
    assert np.abs(small - plain).mean() < 2


def test_sizes_that_are_no_such_part_are_refused() -> None:
    with pytest.raises(ValueError, match="too small to decode"):
        JpegDecoder(b"", YCBCR, 80, 64).decode(JPEG, np.zeros((20, 30, 3), np.uint8))


def test_a_scan_for_each_component_is_read() -> None:
    parts = [simplejpeg.encode_jpeg(np.ascontiguousarray(TILE[..., i : i + 1]), 95, "GRAY") for i in range(3)]
    found = [{marker: (at, end) for marker, at, end in segments(part)} for part in parts]
    grey, at = parts[0], found[0]
    frame = b"\xff\xc0\x00\x11\x08" + grey[at[0xC0][0] + 5 : at[0xC0][0] + 9] + b"\x03"
    whole = grey[: at[0xC0][0]] + frame + b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    whole += grey[at[0xC0][1] : at[0xDA][0]]
    for number, (part, places) in enumerate(zip(parts, found, strict=True), start=1):
        start, end = places[0xDA]
        whole += part[start : start + 5] + bytes([number]) + part[start + 6 : end] + part[end:-2]
    pixels = decoded(whole + b"\xff\xd9", photometric=RGB)
    for channel, part in zip(np.moveaxis(pixels, -1, 0), parts, strict=True):
        assert np.array_equal(channel, simplejpeg.decode_jpeg(part, "GRAY")[..., 0])


def frame_of(data: bytes) -> int:
    return next(at for marker, at, _ in segments(data) if marker == 0xC0)


def changed(at: int, content: bytes) -> bytes:
    return JPEG[:at] + content + JPEG[at + len(content) :]


def progressive() -> bytes:
    out = io.BytesIO()
    Image.fromarray(TILE).save(out, "JPEG", progressive=True)
    return out.getvalue()


def one_by_one(times: int) -> bytes:
    """A JPEG with a scan for each component, all of them so many times."""
    scans = [b"\xff\xda\x00\x08\x01" + bytes([i]) + b"\x00\x00\x3f\x00" for i in (1, 2, 3)]
    head = next(at for marker, at, _ in segments(JPEG) if marker == 0xDA)
    return JPEG[:head] + b"".join(scans) * times + b"\xff\xd9"


FRAME = frame_of(JPEG)
BAD = {
    "empty": (b"", "no JPEG"),
    "short": (JPEG[:3], "."),
    "cut in its head": (JPEG[:100], "."),
    "cut": (JPEG[:-300], "Premature end"),
    "without an end": (JPEG[:-2], "Premature end"),
    "no pixels": (b"\xff\xd8\xff\xd9", "."),
    "junk before": (b"\0" + JPEG, "no JPEG"),
    "junk within its head": (JPEG[:2] + b"\0\0\0" + JPEG[2:], "broken head"),
    "huge": (changed(FRAME + 5, b"\xff\xff\xff\xff"), "a JPEG of 65535 x 65535 pixels in a tile of 80 x 64"),
    "without height": (changed(FRAME + 5, b"\x00\x00"), "a JPEG of 80 x 0 pixels"),
    "other size": (encode(TILE[:32], Kind()), "a JPEG of 80 x 32 pixels in a tile of 80 x 64"),
    "12 bits": (changed(FRAME + 4, b"\x0c"), "not three components of 8 bits"),
    "four components": (changed(FRAME + 9, b"\x04"), "not three components of 8 bits"),
    "grey": (jpeg_grey(TILE[..., 0]), "not three"),
    "progressive": (progressive(), "no baseline JPEG"),
    "arithmetic": (changed(FRAME + 1, b"\xc9"), "no baseline JPEG"),
    "scans": (one_by_one(MOST_SCANS), "a JPEG of too many scans"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_tile_is_refused(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(ValueError, match=reason):
        decoded(data)


@pytest.mark.parametrize("tables", [b"\0\0", b"nothing", JPEG[:40].replace(b"\xff\xdb", b"\0\0")])
def test_broken_tables_are_refused(tables: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        JpegDecoder(tables, YCBCR, 80, 64)


def test_a_subsampling_without_a_name_is_refused_before_reading() -> None:
    at = JPEG.index(b"\xff\xc0") + 11
    assert JPEG[at] == 0x11
    odd = JPEG[:at] + b"\x14" + JPEG[at + 1 :]  # 4:4:1
    with pytest.raises(ValueError, match="unknown chroma subsampling"):
        JpegDecoder(b"", YCBCR, 80, 64).check(odd)
