from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.colour.transparency import BAND
from wsi_embed.slide.conformance import SlideConformance
from wsi_embed.slide.image import ImageSlide
from wsi_embed.slide.tile_images import TileError, read_image

PIXELS = he_pixels(310, 270, seed=2)
EXIF_ORIENTATION = 274


class TestPng(SlideConformance):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "made.png"
        Image.fromarray(PIXELS).save(path)
        return path

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


class TestJpeg(SlideConformance):
    tolerance = 60

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "made.JPG"
        Image.fromarray(PIXELS).save(path, "JPEG", quality=92, subsampling=0)
        return path

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


class TestRealJpeg(SlideConformance):
    @pytest.fixture
    def path(self, shared_data: Path) -> Path:
        return shared_data / "regions" / "hgsc_nest.jpg"


def pixel_of(image: Image.Image, path: Path, **options: Any) -> list[int]:
    image.save(path, **options)
    with open_slide(path) as slide:
        rgb: list[int] = slide.read(0, 0, 0, 1, 1)[0, 0].tolist()
    return rgb


@pytest.mark.parametrize(
    ("rgba", "expected"),
    [
        ((200, 0, 100, 0), [255, 255, 255]),
        ((200, 0, 100, 255), [200, 0, 100]),
        ((200, 0, 100, 51), [244, 204, 224]),
    ],
)
def test_transparency_lets_white_through(
    tmp_path: Path, rgba: tuple[int, int, int, int], expected: list[int]
) -> None:
    assert pixel_of(Image.new("RGBA", (4, 4), rgba), tmp_path / "a.png") == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("alpha", [0, 1])
def test_a_picture_that_its_alpha_hides_is_refused(tmp_path: Path, alpha: int) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([PIXELS, np.full(PIXELS.shape[:2], alpha, np.uint8)])).save(path)
    with open_slide(path) as slide, pytest.raises(SlideError, match=r"a\.png: its alpha is 0 everywhere"):
        slide.read(0, 0, 0, 1, 1)
    with pytest.raises(TileError, match=r"a\.png: its alpha is 0 everywhere, .*; if the colours are right"):
        read_image(path)


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 9, 99, 199])
    assert pixel_of(image, tmp_path / "opaque.png") == [9, 99, 199]
    assert pixel_of(image, tmp_path / "clear.png", transparency=1) == [255, 255, 255]


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    assert pixel_of(Image.new("L", (4, 4), 77), tmp_path / "a.png") == [77, 77, 77]


def test_grey_of_16_bits_is_refused_and_not_clipped_to_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(SlideError, match=r"a\.png: more than 8 bits a channel; convert it to 8-bit RGB"):
        open_slide(tmp_path / "a.png")


@pytest.mark.parametrize("samples", [3, 4])
def test_colours_of_16_bits_are_refused_too(samples: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((4, 4, samples), 40_000, np.uint16))
    with pytest.raises(SlideError, match=r"a\.png: more than 8 bits a channel; convert it to 8-bit RGB"):
        open_slide(path)


def test_a_jpeg_of_12_bits_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xc0") + 4] = 12
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"a\.jpg: more than 8 bits a channel; convert it to 8-bit RGB"):
        open_slide(path)


def test_inks_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).convert("CMYK").save(path)
    with pytest.raises(SlideError, match=r"its pixels are CMYK, not RGB; convert it, .*vips colourspace IN"):
        open_slide(path)


TURNED = {
    0: PIXELS,
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.swapaxes(0, 1),
    6: np.rot90(PIXELS, -1),
    7: PIXELS[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(PIXELS),
    9: PIXELS,
}


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("orientation", TURNED)
def test_an_image_is_turned_as_its_exif_data_say(orientation: int, name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(PIXELS).save(tmp_path / name, exif=exif, quality=95, subsampling=0)
    with open_slide(tmp_path / name) as slide:
        expected = TURNED[orientation]
        assert slide.level_sizes == [expected.shape[1::-1]]
        assert slide.bounds == (0, 0, *slide.level_sizes[0])
        found = slide.read(0, 0, 0, *slide.level_sizes[0])
    assert np.abs(found.astype(int) - expected).max() <= (60 if name == "a.jpg" else 0)


def test_exif_data_behind_the_pixels_of_a_png_count_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path, exif=exif)
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    last = content.index(b"IEND") - 4
    path.write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(0, 0, 0, *slide.level_sizes[0]), TURNED[6])


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02XX", b"\xff" * 40]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_turn_nothing(data: bytes, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + data)
    with open_slide(tmp_path / "a.jpg") as slide:
        assert slide.level_sizes == [PIXELS.shape[1::-1]]


def test_an_image_never_knows_its_resolution(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=(300, 300))
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.mpp is None
        assert slide.objective_power is None
        assert slide.level_downsamples == [1.0]
        assert (slide.vendor, slide.reader) == ("image", "pillow")


@pytest.mark.parametrize("name", ["text.png", "text.jpg"])
def test_text_that_is_called_an_image_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not an image")
    with pytest.raises(SlideError, match=rf"^[^\n]*{name}: not a PNG or JPEG image; [^\n]*$"):
        open_slide(tmp_path / name)


def test_another_format_that_is_called_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png", "BMP")
    with pytest.raises(SlideError, match="not a PNG or JPEG image"):
        open_slide(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg"])
def test_a_truncated_image_fails_as_one_slide(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with (
        open_slide(path) as slide,
        pytest.raises(SlideError, match=rf"^[^\n]*{name}: cannot be read [^\n]*$"),
    ):
        slide.read(0, 0, 0, 10, 10)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_damage_anywhere_gives_pixels_or_a_slide_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(PIXELS[:90, :90]).save(path)
    content = path.read_bytes()
    messages = []
    for start in range(0, len(content) - 8, len(content) // 60):
        path.write_bytes(content[:start] + b"\xa5" * 8 + content[start + 8 :])
        try:
            with open_slide(path) as slide:
                assert slide.read(0, 0, 0, 10, 10).shape == (10, 10, 3)
        except SlideError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def test_an_image_is_decoded_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    with open_slide(path) as slide:
        slide.read(0, 0, 0, 1, 1)
        path.unlink()
        assert np.array_equal(slide.read(0, 9, 9, 50, 50), PIXELS[9:59, 9:59])


def test_an_image_beyond_pillows_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(SlideError, match="image: more than 2,000 pixels; convert it to a pyramidal"):
        open_slide(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "palette with a transparent colour"])
def test_images_of_several_bands_are_blended_as_a_whole(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2 * BAND + 77, 40, 4), np.uint8)
    image = Image.fromarray(pixels, "RGBA")
    path = tmp_path / "a.png"
    if mode.startswith("pal"):
        image.convert("RGB").quantize(16).save(path, transparency=3)
    else:
        image.convert(mode).save(path)
    with Image.open(path) as stored:
        rgba = stored.convert("RGBA")
        expected = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    with ImageSlide(path) as slide:
        assert np.array_equal(slide.read(0, 0, 0, *slide.level_sizes[0]), np.asarray(expected))


def test_a_large_image_is_opened_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Pillow warns of more than 89 million pixels, in the middle of the display."""
    Image.new("L", (10_000, 9_000), 200).save(tmp_path / "a.png", compress_level=1)
    with ImageSlide(tmp_path / "a.png") as slide:
        assert slide.level_sizes == [(10_000, 9_000)]
        assert slide.read(0, 9_990, 8_990, 4, 4).tolist() == np.full((4, 4, 3), 200).tolist()
    assert not recwarn.list
