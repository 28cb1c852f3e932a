"""RGB or YCbCr: marks of the codestream, what pixels can be, and who decides where they differ."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.made_formats.jpeg_tiles import Kind, encode, without_tables
from tests.made_formats.pixels import jpeg2000, with_bits
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.slide.colour.photometric import (
    has_small_colours,
    held_colours,
    jpeg2000_colours,
    jpeg_colours,
    marked_colours,
    misread_as_ycbcr,
    other_samples,
    sample_tiles,
    transforms_colours,
)
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR

TILE = he_pixels(64, 80, seed=6)
WORDS = {"rgb": RGB, "ycbcr": YCBCR}


def tissue(seed: int, side: int = 256) -> UInt8Array:
    """Stain of smoothly varying density everywhere, hardly lighter than (180, 120, 170)."""
    rng = np.random.default_rng(seed)
    density = sum(
        cv2.resize(rng.random((side // step, side // step), np.float32), (side, side)) for step in (8, 32)
    )
    transmitted = np.exp(-(0.35 + 0.5 * np.asarray(density))[..., None] * np.array([0.45, 0.95, 0.4]))
    return np.asarray(245 * transmitted, np.uint8)


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
    assert held_colours(ycbcr(pixels)) is None  # flat YCbCr may be RGB
    if colour != (90, 40, 130):  # which may be either
        assert held_colours(pixels) == RGB


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shrink", [1, 4])
def test_tissue_without_any_glass_shows_what_it_is(shrink: int, seed: int) -> None:
    """No colour of it is beyond RGB if it is taken for YCbCr: only that they vary together says it."""
    pixels = tissue(seed)[::shrink, ::shrink]
    assert held_colours(pixels) == RGB
    assert held_colours(ycbcr(pixels)) == YCBCR


@pytest.mark.parametrize("tables", [False, True], ids=["whole", "tables"])
@pytest.mark.parametrize("marks", ["none", "jfif", "adobe", "lie", "both"])
@pytest.mark.parametrize("sampling", ["444", "420"])
@pytest.mark.parametrize("held", ["rgb", "ycbcr"])
def test_pixels_decide_unless_word_and_mark_agree(held: str, sampling: str, marks: str, tables: bool) -> None:
    data = encode(TILE, Kind(held, sampling, marks), 95)  # type: ignore[arg-type]
    marked = marked_colours(data)
    shared, data = without_tables(data) if tables else (b"", data)
    for said in (RGB, YCBCR):
        expected = said if marked == said else WORDS[held]
        assert jpeg_colours([data], shared, said, 80, 64) == {expected}


def test_tiles_that_differ_are_told_apart() -> None:
    rgb, other = encode(TILE, Kind("rgb", "444", "adobe")), encode(TILE, Kind("ycbcr", "444", "adobe"))
    for said in (RGB, YCBCR):
        assert jpeg_colours([rgb, other, rgb], b"", said, 80, 64) == {RGB, YCBCR}
        assert jpeg_colours([rgb, rgb], b"", said, 80, 64) == {RGB}


def test_a_tile_with_nothing_to_see_does_not_decide() -> None:
    flat = encode(np.full((64, 80, 3), (150, 90, 160), np.uint8), Kind("rgb", "444", "none"))
    tile = encode(TILE, Kind("rgb", "444", "none"))
    assert jpeg_colours([flat], b"", YCBCR, 80, 64) == {YCBCR}  # the word
    assert jpeg_colours([flat, tile], b"", YCBCR, 80, 64) == {RGB}


def test_a_mark_or_else_the_word_is_believed_where_pixels_cannot_be_decoded() -> None:
    data = encode(TILE, Kind("ycbcr", "444", "jfif"))
    assert jpeg_colours([data[: len(data) // 2]], b"", RGB, 80, 64) == {YCBCR}
    assert jpeg_colours([data], b"", RGB, 81, 64) == {YCBCR}
    unmarked = encode(TILE, Kind("rgb", "444", "none"))
    assert jpeg_colours([unmarked[: len(unmarked) // 2]], b"", YCBCR, 80, 64) == {YCBCR}


@pytest.mark.parametrize("box", [b"", b"\0\0\0\x0cjP  \r\n\x87\n"], ids=["codestream", "jp2"])
@pytest.mark.parametrize("mct", [False, True])
def test_a_jpeg_2000_says_whether_it_transforms_colours(mct: bool, box: bytes) -> None:
    data = jpeg2000(TILE, mct=mct)
    assert transforms_colours(box + data) is mct
    assert transforms_colours(box + data[:80]) is mct  # the head is enough
    assert jpeg2000_colours([data], YCBCR) == {RGB}


def test_the_transform_of_a_jpeg_2000_is_undone_before_pixels_are_looked_at() -> None:
    assert jpeg2000_colours([jpeg2000(TILE, ycc=True)], RGB) == {YCBCR}
    assert jpeg2000_colours([jpeg2000(TILE, ycc=True), jpeg2000(TILE, mct=True)], RGB) == {RGB, YCBCR}


def test_a_jpeg_2000_with_colours_of_half_the_size_is_ycbcr() -> None:
    """Aperio writes these; no decoder has to say it, and Pillow converts them."""
    data = bytearray(jpeg2000(TILE, ycc=True))
    steps = data.index(b"\xff\x51") + 2 + 38  # of the first component: bits, across, down
    assert data[steps : steps + 9] == bytes([7, 1, 1] * 3)
    assert not has_small_colours(bytes(data))
    data[steps + 4] = data[steps + 7] = 2
    assert has_small_colours(bytes(data))
    assert jpeg2000_colours([bytes(data)], RGB) == {YCBCR}


@pytest.mark.parametrize(
    ("number", "words"),
    [(7, None), (11, "samples of 12 bits"), (15, "samples of 16 bits"), (135, "signed samples of 8 bits")],
)
def test_the_samples_of_a_jpeg_2000_are_described_if_they_are_no_bytes(
    number: int, words: str | None
) -> None:
    assert other_samples(with_bits(jpeg2000(TILE), number)) == words


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 1000])
def test_tiles_are_sampled_from_all_over_and_both_ends_of_the_sizes(count: int) -> None:
    sizes = np.random.default_rng(count).integers(1, 1000, count)
    sizes[1::3] = 0
    found = sample_tiles(sizes)
    assert found == sorted(set(found), key=lambda tile: (sizes[tile], tile))
    assert len(found) <= 7
    if count:
        there = np.flatnonzero(sizes)
        assert {there[0], there[-1]} <= set(found)
        assert sizes[found[0]] == sizes[there].min()
        assert sizes[found[-1]] == sizes.max()
    if count == 1000:
        assert np.diff([0, *sorted(found), count]).max() <= 260


@pytest.mark.parametrize("data", [b"", b"\xff\x4f\xff\x51", b"no codestream", jpeg2000(TILE)[:50]])
def test_what_is_no_jpeg_2000_says_nothing(data: bytes) -> None:
    assert transforms_colours(data) is None
    assert not has_small_colours(data)
    assert other_samples(data) is None
    assert jpeg2000_colours([data], YCBCR) == {YCBCR}


def misread(pixels: UInt8Array) -> UInt8Array:
    """RGB as it comes out if it is taken for YCbCr."""
    return np.asarray(cv2.cvtColor(pixels[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB), np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_rgb_that_was_taken_for_ycbcr_is_seen_in_the_picture(seed: int) -> None:
    pixels = he_pixels(300, 400, seed=seed)
    assert misread_as_ycbcr(misread(pixels))
    assert misread_as_ycbcr(misread(np.full((64, 64, 3), 255, np.uint8)))
    assert misread_as_ycbcr(misread((pixels > 250) * np.uint8(9)))  # fluorescence on black
    assert not misread_as_ycbcr(pixels)
    assert not misread_as_ycbcr(tissue(seed))


@pytest.mark.parametrize(
    "colour", [(255, 255, 255), (0, 0, 0), (0, 90, 0), (200, 0, 200), (180, 60, 190), (255, 0, 0)]
)
def test_plain_colours_of_slides_are_not_misread(colour: tuple[int, int, int]) -> None:
    assert not misread_as_ycbcr(np.full((64, 64, 3), colour, np.uint8))
