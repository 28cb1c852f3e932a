"""RGB or YCbCr: marks of the codestream, what pixels can be, and who decides where they differ."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.made_formats.jpeg_tiles import Kind, encode, without_tables
from tests.made_formats.pixels import jpeg2000
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.slide.photometric import (
    held_colours,
    jpeg2000_colours,
    jpeg_colours,
    marked_colours,
    transforms_colours,
)
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR

TILE = he_pixels(64, 80, seed=6)
WORDS = {"rgb": RGB, "ycbcr": YCBCR}


def ycbcr(pixels: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]], np.uint8)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind("ycbcr", "444", "none"), None),
        (Kind("ycbcr", "444", "jfif"), YCBCR),
        (Kind("ycbcr", "444", "adobe"), YCBCR),
        (Kind("ycbcr", "444", "both"), YCBCR),
        (Kind("ycbcr", "444", "lie"), RGB),
        (Kind("ycbcr", "420", "none"), YCBCR),  # colours of a quarter of the size
        (Kind("ycbcr", "420", "lie"), None),
        (Kind("rgb", "444", "none"), None),
        (Kind("rgb", "444", "adobe"), RGB),
        (Kind("rgb", "444", "lie"), YCBCR),
        (Kind("rgb", "444", "both"), None),
        (Kind("rgb", "444", "jfif"), YCBCR),
    ],
    ids=lambda value: value.label if isinstance(value, Kind) else str(value),
)
def test_marks_say_what_a_jpeg_holds_unless_they_contradict_each_other(kind: Kind, said: int | None) -> None:
    assert marked_colours(encode(TILE, kind)) == said


@pytest.mark.parametrize(
    ("names", "said"), [(b"RGB", RGB), (b"rgb", RGB), (b"\0\1\2", None), (b"\1\2\3", None)]
)
def test_components_may_be_named_after_their_colours(names: bytes, said: int | None) -> None:
    data = bytearray(encode(TILE, Kind("rgb", "444", "none")))
    frame = data.index(b"\xff\xc0")
    for component, name in enumerate(names):
        data[frame + 10 + 3 * component] = name
    assert marked_colours(bytes(data)) == said


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"no JPEG at all", bytes(100)])
def test_a_broken_head_has_no_marks(data: bytes) -> None:
    if data[:2] == b"\xff\xd8":
        assert marked_colours(data) is None
    else:
        with pytest.raises(ValueError, match="no JPEG"):
            marked_colours(data)


@pytest.mark.parametrize("seed", range(5))
def test_pixels_show_what_they_are(seed: int) -> None:
    pixels = he_pixels(120, 100, seed=seed)
    assert held_colours(pixels) == RGB
    assert held_colours(ycbcr(pixels)) == YCBCR


@pytest.mark.parametrize(
    "colour", [(255, 255, 255), (0, 0, 0), (242, 240, 241), (230, 160, 200), (90, 40, 130)]
)
def test_single_colours_of_slides_show_what_they_are(colour: tuple[int, int, int]) -> None:
    pixels = np.full((8, 8, 3), colour, np.uint8)
    assert held_colours(ycbcr(pixels)) == YCBCR
    if colour != (90, 40, 130):  # which may be either
        assert held_colours(pixels) == RGB


@pytest.mark.parametrize("tables", [False, True], ids=["whole", "tables"])
@pytest.mark.parametrize("marks", ["none", "jfif", "adobe", "lie", "both"])
@pytest.mark.parametrize("sampling", ["444", "420"])
@pytest.mark.parametrize("held", ["rgb", "ycbcr"])
def test_pixels_decide_unless_word_and_mark_agree_or_nothing_speaks_against_rgb(
    held: str, sampling: str, marks: str, tables: bool
) -> None:
    data = encode(TILE, Kind(held, sampling, marks), 95)  # type: ignore[arg-type]
    marked = marked_colours(data)
    shared, data = without_tables(data) if tables else (b"", data)
    for said in (RGB, YCBCR):
        undisputed = marked == said or (marked is None and said == RGB)
        expected = said if undisputed else WORDS[held]
        assert jpeg_colours(data, shared, said, 80, 64) == expected


def test_a_mark_or_else_the_word_is_believed_where_pixels_cannot_be_decoded() -> None:
    data = encode(TILE, Kind("ycbcr", "444", "jfif"))
    assert jpeg_colours(data[: len(data) // 2], b"", RGB, 80, 64) == YCBCR
    assert jpeg_colours(data, b"", RGB, 81, 64) == YCBCR
    unmarked = encode(TILE, Kind("rgb", "444", "none"))
    assert jpeg_colours(unmarked[: len(unmarked) // 2], b"", YCBCR, 80, 64) == YCBCR


@pytest.mark.parametrize("box", [b"", b"\0\0\0\x0cjP  \r\n\x87\n"], ids=["codestream", "jp2"])
@pytest.mark.parametrize("mct", [False, True])
def test_a_jpeg_2000_says_whether_it_transforms_colours(mct: bool, box: bytes) -> None:
    data = jpeg2000(TILE, mct=mct)
    assert transforms_colours(box + data) is mct
    assert transforms_colours(box + data[:80]) is mct  # the head is enough
    assert jpeg2000_colours(data) == RGB


def test_the_transform_of_a_jpeg_2000_is_undone_before_pixels_are_looked_at() -> None:
    assert jpeg2000_colours(jpeg2000(TILE, ycc=True)) == YCBCR


@pytest.mark.parametrize("data", [b"", b"\xff\x4f\xff\x51", b"no codestream", jpeg2000(TILE)[:50]])
def test_what_is_no_jpeg_2000_says_nothing(data: bytes) -> None:
    assert transforms_colours(data) is None
    assert jpeg2000_colours(data) is None
