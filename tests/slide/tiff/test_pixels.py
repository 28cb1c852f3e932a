"""Pixels of a TIFF come out as the file means them, or the slide is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numcodecs import Zstd

from tests.made_formats.pixels import jpeg, jpeg_grey, lzw
from tests.made_formats.raw_tiff import GREY, NONE, RGB, Image, Samples, write_images
from tests.made_formats.tiffs import write_aperio
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.tiff.pixels import pixel_fault
from wsi_embed.slide.tiff.storage import Storage

PIXELS = he_pixels(150, 203, seed=3)  # both sides end within a tile of 64
ONE = PIXELS[..., 1]
ALPHA = np.random.default_rng(0).integers(0, 256, ONE.shape, np.uint8)
OVER_WHITE = (PIXELS * (ALPHA[..., None] / 255) + 255 - ALPHA[..., None]).round()
PREMULTIPLIED = (PIXELS * (ALPHA[..., None] / 255)).astype(np.uint8)
SPOT = np.zeros_like(ALPHA)
SPOT[20:24, 190:200] = 255
SPOT_OVER_WHITE = np.where(SPOT[..., None] > 0, PIXELS, np.uint8(255))
TAGS = {
    "bits": 258, "orientation": 274, "palette": 320, "extra": 338, "number": 339, "subsampling": 530,
    "depth": 32997,
}  # fmt: skip
PALETTE = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2])


def grey(plane: Samples) -> Samples:
    return np.repeat(plane[..., None], 3, 2)


def packed(bits: int) -> Callable[[Samples], bytes]:
    """Return what packs samples of less than 8 bits, each row to whole bytes."""

    def pack(tile: Samples) -> bytes:
        flags = np.unpackbits(tile, axis=2).reshape(*tile.shape[:2], 8)[..., -bits:]
        return np.packbits(flags.reshape(len(tile), -1), axis=1).tobytes()

    return pack


def ycbcr(across: int, down: int) -> Callable[[Samples], bytes]:
    """Return what makes YCbCr of RGB, with blocks of `across` x `down` pixels of one colour."""

    def encode(tile: Samples) -> bytes:
        r, g, b = np.moveaxis(tile.astype(float), -1, 0)
        y = 0.299 * r + 0.587 * g + 0.114 * b
        colour = np.stack([(b - y) / 1.772 + 128, (r - y) / 1.402 + 128], -1)
        h, w = y.shape
        luma = y.reshape(h // down, down, w // across, across).swapaxes(1, 2)
        mean = colour.reshape(h // down, down, w // across, across, 2).mean((1, 3))
        block = np.concatenate([luma.reshape(*luma.shape[:2], -1), mean], -1)
        return block.round().clip(0, 255).astype(np.uint8).tobytes()

    return encode


def zstd(data: bytes) -> bytes:
    return bytes(Zstd().encode(data))


def rgb(*further: Samples, **options: Any) -> Image:
    """RGB, with further samples; what is no option of `Image` is a tag."""
    return _image(np.dstack([PIXELS, *further]), RGB, options)


def one(samples: Samples = ONE, photometric: int = GREY, **options: Any) -> Image:
    return _image(samples, photometric, options)


def lossy(**options: Any) -> Image:
    return rgb(**{"photometric": 6, "compression": 7, "encode": jpeg, "subsampling": [1, 1]} | options)


def _image(samples: Samples, photometric: int, options: dict[str, Any]) -> Image:
    tags = {TAGS[name]: options.pop(name) for name in TAGS.keys() & options}
    return Image(samples, **{"photometric": photometric, **options}, tags=tags)


def jpeg_of_one(tile: Samples) -> bytes:
    return jpeg_grey(tile[..., 0])


YCBCR = np.frombuffer(ycbcr(1, 1)(PIXELS), np.uint8).reshape(PIXELS.shape)
COLOURS_OF_PALETTE = (PALETTE * 257).ravel().tolist()
READ_RIGHT: dict[str, tuple[Image, Samples, float]] = {
    "rgb": (rgb(), PIXELS, 0),
    "rgb uncompressed": (rgb(compression=NONE), PIXELS, 0),
    "rgb in planes": (rgb(planar=True), PIXELS, 0),
    "rgb, undefined kind of number": (rgb(number=[4] * 3), PIXELS, 0),
    "rgb, orientation that is none": (rgb(orientation=[9]), PIXELS, 0),
    "alpha": (rgb(ALPHA, extra=[2]), OVER_WHITE, 0),
    "alpha in planes": (rgb(ALPHA, planar=True, extra=[2]), OVER_WHITE, 0),
    "alpha and more": (rgb(ALPHA, ONE, extra=[2, 0]), OVER_WHITE, 0),
    "premultiplied alpha": (
        Image(np.dstack([PREMULTIPLIED, ALPHA]), tags={TAGS["extra"]: [1]}),
        PREMULTIPLIED + (255 - ALPHA[..., None]),
        0,
    ),
    # no premultiplied pixel has more colour than alpha: such are as bright as can be
    "colour above alpha": (rgb(ALPHA, extra=[1]), np.minimum(PIXELS + (255.0 - ALPHA[..., None]), 255), 0),
    "grey": (one(), grey(ONE), 0),
    "grey, white is 0": (one(photometric=0), grey(255 - ONE), 0),
    "grey jpeg": (one(compression=7, encode=jpeg_of_one), grey(ONE), 8),
    "grey of 4 bits": (one(ONE >> 4, encode=packed(4), bits=[4]), grey((ONE >> 4) * 17), 0),
    "two levels": (one(ONE >> 7, encode=packed(1), bits=[1]), grey((ONE >> 7) * 255), 0),
    "palette": (one(photometric=3, palette=COLOURS_OF_PALETTE), np.moveaxis(PALETTE[:, ONE], 0, -1), 0),
    "ycbcr": (rgb(photometric=6, encode=ycbcr(1, 1), subsampling=[1, 1]), PIXELS, 3),
    "ycbcr 4:2:0": (rgb(photometric=6, encode=ycbcr(2, 2), subsampling=[2, 2]), PIXELS, 70),
    "ycbcr 4:2:0, subsampling unsaid": (rgb(photometric=6, encode=ycbcr(2, 2)), PIXELS, 70),
    "ycbcr, lzw": (
        rgb(
            photometric=6,
            compression=5,
            encode=lambda tile: lzw(ycbcr(1, 1)(tile)),
            subsampling=[1, 1],
        ),
        PIXELS,
        3,
    ),
    "ycbcr, zstd": (
        rgb(photometric=6, compression=50000, encode=lambda t: zstd(ycbcr(2, 1)(t)), subsampling=[2, 1]),
        PIXELS,
        70,
    ),
    "ycbcr in planes": (Image(YCBCR, 6, planar=True, tags={TAGS["subsampling"]: [1, 1]}), PIXELS, 3),
    "alpha that is 0 but for a spot": (rgb(SPOT, extra=[2]), SPOT_OVER_WHITE, 0),
    "jpeg": (lossy(), PIXELS, 30),
}
DEEP, DEEP_ONE = PIXELS.astype(np.uint16) * 257, ONE.astype(np.uint16) * 257
REFUSED: dict[str, tuple[Image, str]] = {
    **{f"orientation {o}": (rgb(orientation=[o]), f"tag is {o}, .*vips autorot") for o in range(2, 9)},
    "orientation, uncompressed": (rgb(compression=NONE, orientation=[3]), "orientation tag is 3"),
    "orientation, planes": (rgb(planar=True, orientation=[3]), "orientation tag is 3"),
    "orientation, grey jpeg": (
        one(compression=7, encode=jpeg_of_one, orientation=[2]), "orientation tag is 2",
    ),
    "extra sample": (rgb(ALPHA, extra=[0]), "is not declared as alpha .*vips extract_band"),
    "extra sample unsaid": (rgb(ALPHA), "is not declared as alpha .*vips extract_band"),
    "extra samples": (rgb(ALPHA, ONE, extra=[0, 2]), "fourth of its 5 samples is not declared as alpha"),
    "extra sample in planes": (rgb(ALPHA, planar=True, extra=[0]), "is not declared as alpha"),
    "grey and alpha": (one(np.dstack([ONE, ALPHA]), extra=[2]), "have 2 samples, where .* grey"),
    "rgb that is called grey": (rgb(photometric=GREY, extra=[0, 0]), "--interpretation srgb"),
    "planes that are called grey": (rgb(photometric=GREY, planar=True), "--interpretation srgb"),
    "grey that is called rgb": (one(photometric=RGB), "have 1 samples instead of 3"),
    "grey of 16 bits": (one(DEEP_ONE), "have 16 bits.*vips colourspace"),
    "rgb of 16 bits": (Image(DEEP), "have 16 bits"),
    "rgb of 12 bits in 16": (Image(DEEP // 16), "where 12 are used `vips linear"),
    "alpha of 16 bits": (Image(np.dstack([DEEP, DEEP_ONE]), tags={TAGS["extra"]: [2]}), "have 16 bits"),
    "jpeg of 12 bits": (lossy(bits=[12] * 3), "have 12 bits"),
    "32 bits": (one(ONE.astype(np.uint32) << 24), "have 32 bits; scale them to 0 to 255"),
    "signed": (rgb(number=[2] * 3), "signed numbers"),
    "floating point": (one(ONE.astype(np.float32) / 255, number=[3]), "floating-point"),
    "cmyk": (Image(np.dstack([255 - PIXELS, ALPHA]), 5), r"inks \(CMYK\), not RGB.*vips colourspace"),
    "lab": (rgb(photometric=8), r"CIE L\*a\*b\*, not RGB"),
    "mask": (one(ONE >> 7, 4, encode=packed(1), bits=[1]), "are a mask, not RGB"),
    "raw of a camera": (rgb(photometric=34892), "photometric interpretation 34892"),
    "ycbcr 4 x 4": (rgb(photometric=6, encode=ycbcr(4, 4), subsampling=[4, 4]), "subsampled by 4 x 4"),
    "ycbcr, subsampling unsaid": (
        rgb(photometric=6, encode=ycbcr(1, 1)), "is left out, which means 2 x 2, .* the bytes of 1 x 1;",
    ),
    "ycbcr, subsampling unsaid, uncompressed": (
        rgb(photometric=6, compression=NONE, encode=ycbcr(1, 1)), "set the tag to 1 1",
    ),
    "ycbcr, subsampling unsaid, lzw": (
        rgb(photometric=6, compression=5, encode=lambda tile: lzw(ycbcr(2, 1)(tile))), "set the tag to 2 1",
    ),
    "ycbcr, subsampling unsaid, zstd": (
        rgb(photometric=6, compression=50000, encode=lambda t: zstd(ycbcr(1, 1)(t))), "set the tag to 1 1",
    ),
    "ycbcr, other subsampling, zstd": (
        rgb(photometric=6, compression=50000, encode=lambda t: zstd(ycbcr(2, 2)(t)), subsampling=[1, 1]),
        "says 1 x 1, .* the bytes of 2 x 2;",
    ),
    "ycbcr in planes, subsampling unsaid": (
        Image(YCBCR, 6, planar=True), "in separate planes and subsampled",
    ),
    "ycbcr, other subsampling": (
        rgb(photometric=6, encode=ycbcr(2, 2), subsampling=[1, 1]), "says 1 x 1, .* the bytes of 2 x 2;",
    ),
    "alpha 0": (rgb(0 * ALPHA, extra=[2]), "alpha is 0 everywhere, .*vips extract_band"),
    "alpha 0, premultiplied": (rgb(0 * ALPHA, extra=[1]), "alpha is 0 everywhere"),
    "alpha of 0 and 1": (rgb(ALPHA & 1, extra=[2]), "alpha is 0 everywhere"),
    "alpha 0 in planes": (rgb(0 * ALPHA, planar=True, extra=[2]), "alpha is 0 everywhere"),
    "volume": (rgb(depth=[3]), r"3 focal planes \(ImageDepth\).*page=N"),
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", READ_RIGHT)
def test_pixels_are_those_that_were_written(name: str, order: Literal["<", ">"], tmp_path: Path) -> None:
    image, truth, tolerance = READ_RIGHT[name]
    path = write_images(tmp_path / "a.tif", [image], big=order == ">", order=order)
    with open_slide(path) as slide:
        found = slide.read(0, 0, 0, *slide.level_sizes[0])
        assert slide.warnings == ()
    assert np.abs(found.astype(int) - truth).max() <= tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_changed_is_refused_with_reason_and_remedy(name: str, tmp_path: Path) -> None:
    image, reason = REFUSED[name]
    path = write_images(tmp_path / "a.tif", [image])
    for reader in ("auto", "openslide", "tiff"):
        with pytest.raises(SlideError, match=rf"^{path}: [^\n]*{reason}[^\n]*$") as caught:
            open_slide(path, reader)
        assert not any(word in str(caught.value) for word in ("complete", "damaged"))


def test_a_level_is_refused_as_level_0_is_and_named(tmp_path: Path) -> None:
    level = Image(PIXELS[::2, ::2], subfile=1, tags={TAGS["orientation"]: [6]})
    with pytest.raises(SlideError, match=r"image 2 of the file: its orientation tag is 6"):
        open_slide(write_images(tmp_path / "a.tif", [lossy(), level]))


def test_images_that_can_be_no_level_refuse_nothing(tmp_path: Path) -> None:
    """Labels and macro images lie in strips, and nobody reads them."""
    label = Image(DEEP_ONE[:40, :30], GREY, tile=None, subfile=1, tags={TAGS["orientation"]: [8]})
    unmarked = Image(DEEP_ONE[:80, :90], GREY)
    for first in (lossy(), rgb()):
        with open_slide(write_images(tmp_path / "a.tif", [first, label, unmarked])) as slide:
            assert slide.level_sizes == [(203, 150)]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_jpeg_is_read_as_it_is_stored_and_that_is_said(orientation: int, tmp_path: Path) -> None:
    path = write_images(tmp_path / "a.tif", [lossy(orientation=[orientation])])
    for reader in ("auto", "openslide", "tiff"):
        with open_slide(path, reader) as slide:
            assert np.abs(slide.read(0, 0, 0, 203, 150).astype(int) - PIXELS).max() <= 30
            (warning,) = slide.warnings
        assert warning.startswith(f"a.tif: its orientation tag ({orientation}) is ignored: ")
        assert "vips autorot" in warning


@pytest.mark.parametrize("name", ["orientation", "subsampling"])
def test_tags_that_make_no_sense_refuse_nothing(name: str, tmp_path: Path) -> None:
    with open_slide(write_images(tmp_path / "a.tif", [rgb(**{name: "nonsense"})])) as slide:
        assert np.array_equal(slide.read(0, 0, 0, 203, 150), PIXELS)


def test_jpeg_2000_is_aperios_alone_and_has_three_colours(tmp_path: Path) -> None:
    stored = Storage(33005, RGB, 3, 8, 1, 0, True, 3, 1, (2, 2))
    assert pixel_fault(stored, aperio=True) is None
    assert "orientation tag" in str(pixel_fault(stored))
    for samples, photometric in ((1, GREY), (4, RGB)):
        other = replace(stored, photometric=photometric, samples=samples, extra=2)
        assert f"{samples} samples instead of 3" in str(pixel_fault(other, aperio=True))
    with open_slide(write_aperio(tmp_path / "a.svs", PIXELS, "jpeg 2000 RGB")) as slide:
        assert slide.warnings == ()


def test_real_slides_need_no_warning(shared_slides: Path) -> None:
    for path in sorted(shared_slides.iterdir()):
        with open_slide(path) as slide:
            # of two DICOM slides the set has a coarse level alone
            others = [text for text in slide.warnings if "a finer one may be missing" not in text]
            assert others == [], path.name
            assert len(slide.warnings) == (path.suffix == ".dcm"), path.name
