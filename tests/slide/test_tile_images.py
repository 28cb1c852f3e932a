from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.made_models import tiny_tiles
from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed.slide.tile_images import (
    LONGEST_SIDE,
    SMALLEST_SLIDE,
    TileError,
    common_size,
    fit_image,
    image_size,
    is_tile_image,
    read_image,
)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.JPEG", "a.bmp", "a.webp", "a.tif", "a.TIFF"])
def test_small_pictures_are_tile_images(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / name)
    assert is_tile_image(tmp_path / name)


def test_large_pictures_are_slides(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side, expected in ((LONGEST_SIDE, True), (LONGEST_SIDE + 1, False)):
        noise = Image.fromarray(rng.integers(0, 256, (200, side, 3), np.uint8))
        for suffix in ("png", "jpg", "tif"):
            path = tmp_path / f"{side}.{suffix}"
            noise.save(path)
            assert path.stat().st_size > SMALLEST_SLIDE
            assert is_tile_image(path) is expected


def test_no_large_picture_with_anything_on_it_is_smaller_than_what_is_not_opened(tmp_path: Path) -> None:
    side = LONGEST_SIDE + 1
    nearly_empty = np.full((side, side, 3), 240, np.uint8)
    nearly_empty[::64, ::64] = 0
    Image.fromarray(nearly_empty).save(tmp_path / "large.jpg", quality=50)
    assert (tmp_path / "large.jpg").stat().st_size > SMALLEST_SLIDE


def test_tiffs_with_levels_are_slides_at_any_size(tmp_path: Path, shared_slides: Path) -> None:
    pixels = he_pixels(300, 300)
    assert not is_tile_image(write_tiff(tmp_path / "pyramid.tif", pixels, levels=(1, 2)))
    assert is_tile_image(write_tiff(tmp_path / "flat.tif", pixels, levels=(1,)))
    with tifffile.TiffWriter(tmp_path / "sub.ome.tif") as tif:
        tif.write(pixels, subifds=1, tile=(64, 64))
        tif.write(pixels[::2, ::2], subfiletype=1, tile=(64, 64))
    assert not is_tile_image(tmp_path / "sub.ome.tif")
    tifffile.imwrite(tmp_path / "big.tif", pixels, bigtiff=True, tile=(64, 64))
    assert not is_tile_image(tmp_path / "big.tif")
    assert [p.name for p in sorted(shared_slides.glob("*.tif")) if is_tile_image(p)] == []


def test_suffixes_of_slides_decide_by_themselves(tmp_path: Path) -> None:
    assert not is_tile_image(write_svs(tmp_path / "a.svs", he_pixels(64, 64), levels=(1,)))
    assert not is_tile_image(tmp_path / "gone.ndpi")


def test_what_cannot_be_understood_fails_as_a_tile_image(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        (tmp_path / name).write_bytes(os.urandom(2 * SMALLEST_SLIDE))
        assert is_tile_image(tmp_path / name)
    assert is_tile_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (4, 4), (102, 102, 102)).convert(mode).save(tmp_path / "tile.tif")
    tile = read_image(tmp_path / "tile.tif")
    assert tile.dtype == np.uint8
    assert tile.tolist() == [[[102, 102, 102]] * 4] * 4


def test_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "tile.png")
    assert read_image(tmp_path / "tile.png").min() == 255


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.98])
def test_damaged_image_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"tile.{suffix}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(TileError, match=rf"tile\.{suffix}: not a readable image"):
        read_image(path)


def test_missing_and_sixteen_bit_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(TileError, match=r"gone\.png: not a readable image \(no such file\)"):
        read_image(tmp_path / "gone.png")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(TileError, match=r"deep\.png: more than 8 bits"):
        read_image(tmp_path / "deep.png")


def test_size_is_of_the_head_and_the_most_common_one_counts(tmp_path: Path) -> None:
    path = tiny_tiles(tmp_path, 1, tile_px=48) / "tile_00.png"
    assert image_size(path) == (48, 48)
    assert image_size(tmp_path / "gone.png") is None
    assert common_size([(9, 9), (4, 5), None, (4, 5), None, None]) == (4, 5)
    assert common_size([(9, 9), (4, 5)]) == (4, 5)
    assert common_size([None]) is None


def test_fit_takes_the_central_square() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)
    np.testing.assert_array_equal(fit_image(pixels, 40, 32, Path("a")), pixels[:, 10:50])
    np.testing.assert_array_equal(fit_image(pixels[:, :40], 40, 32, Path("a")), pixels[:, :40])


def test_fit_averages_by_area() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    means = pixels.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(fit_image(pixels, 32, 32, Path("a")) - means).max() <= 0.5


def test_fit_enlarges_what_is_between_and_refuses_what_is_smaller() -> None:
    pixels = np.full((36, 40, 3), 77, np.uint8)
    assert (fit_image(pixels, 48, 32, Path("a")) == np.full((48, 48, 3), 77)).all()
    with pytest.raises(TileError, match="x/a: 40 x 36 pixels, smaller than the crop of 37"):
        fit_image(pixels, 48, 37, Path("x/a"))
