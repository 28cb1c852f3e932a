from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.made_formats.jpeg_tiles import write_jpeg_slide
from tests.made_formats.ome_zarr import write_ome_zarr
from tests.made_slides import he_pixels, write_tiff
from tests.test_bad_input import corrupt_a_tile
from tests.train.data.made import place_pixels, place_slide, slide_config
from tests.train.data.test_slides import extraction_grid
from wsi_embed.errors import SlideError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import Reader, open_slide
from wsi_embed_train.data.reader import OpenSlides, read_together
from wsi_embed_train.data.slides import SlideTiles, lay_slides


def tiles_of(path: Path, **settings: object) -> SlideTiles:
    (laid,) = lay_slides(find_slides([path]), slide_config(tissue="none", **settings))
    assert laid.tiles is not None, laid.reason
    return laid.tiles


def test_tiles_of_a_region_come_in_the_order_wanted(tmp_path: Path) -> None:
    tiles = tiles_of(place_slide(tmp_path / "a.tif"))
    pixels = place_pixels(500, 700)
    rows = [3, 0, 2]
    for shift in ((0, 0), (5, 9)):
        for row, tile in zip(rows, read_together(OpenSlides(), tiles, rows, shift), strict=True):
            x, y = (tiles.level_xy[row] + shift).tolist()
            np.testing.assert_array_equal(tile, pixels[y : y + 32, x : x + 32])


def test_tiles_between_levels_are_resampled_as_extraction_does(made_slide: Path) -> None:
    tiles = tiles_of(made_slide, mpp=0.8)
    assert tiles.read_px == 51
    found = read_together(OpenSlides(), tiles, range(4), (0, 0))
    (laid,) = find_slides([made_slide])
    with open_slide(laid.path) as slide:
        grid = extraction_grid(laid, slide_config(mpp=0.8))
        of_place = {tuple(grid.level_xy[row].tolist()): tile for row, tile in slide.read_tiles(grid)}
    for row, tile in enumerate(found):
        place = tuple(tiles.level_xy[row].tolist())
        if place in of_place:
            np.testing.assert_array_equal(tile, of_place[place])


def test_one_damaged_tile_does_not_take_its_region_with_it(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", he_pixels(256, 256), levels=(1, 4), tile=64, compression="jpeg")
    good = tiles_of(path, tile_px=64)
    whole = read_together(OpenSlides(), good, range(4), (0, 0))
    corrupt_a_tile(path, 1)
    found = read_together(OpenSlides(), good, range(4), (0, 0))
    assert [isinstance(tile, SlideError) for tile in found] == [False, True, False, False]
    for row in (0, 2, 3):
        np.testing.assert_array_equal(found[row], whole[row])


@pytest.mark.parametrize("reader", ["auto", "openslide", "tiff"])
def test_tiles_are_the_same_whoever_reads_them(reader: Reader, tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.svs", he_pixels(500, 600), tile=48, aperio=True, factors=(1, 4))
    tiles = tiles_of(path, reader=reader, mpp=0.8)
    slides = pickle.loads(pickle.dumps(OpenSlides(reader=reader)))
    assert slides.get(path).reader == ("openslide" if reader == "openslide" else "tiff")
    with open_slide(path, "openslide") as plain:
        n = tiles.read_px
        for row, tile in enumerate(read_together(slides, tiles, range(4), (3, 2))):
            x, y = (tiles.level_xy[row] + (3, 2)).tolist()
            expected = cv2.resize(plain.read(0, x, y, n, n), (32, 32), interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(tile, expected)


def test_tiles_of_an_ome_zarr_are_those_of_its_pixels(tmp_path: Path) -> None:
    pixels = he_pixels(300, 400)
    path = write_ome_zarr(tmp_path / "a.zarr", pixels, "0.5", chunk=100)
    tiles = tiles_of(path, mpp=0.5)
    slides = pickle.loads(pickle.dumps(OpenSlides()))
    for row, tile in enumerate(read_together(slides, tiles, range(9), (3, 2))):
        x, y = (tiles.level_xy[row] + (3, 2)).tolist()
        np.testing.assert_array_equal(tile, pixels[y : y + 32, x : x + 32])


def test_the_slides_used_last_stay_open(tmp_path: Path) -> None:
    paths = [place_slide(tmp_path / f"{number}.tif", 40, 40) for number in range(4)]
    slides = OpenSlides(most=2)
    first, second = slides.get(paths[0]), slides.get(paths[1])
    assert slides.get(paths[0]) is first
    slides.get(paths[2])  # closes the second
    assert slides.get(paths[0]) is first
    assert slides.get(paths[1]) is not second
    for path in paths:
        slides.get(path).read(0, 0, 0, 8, 8)
        assert len(slides) <= 2
    slides.close()
    assert len(slides) == 0
    slides.get(paths[0]).read(0, 0, 0, 8, 8)


def test_pictures_are_in_memory_and_few_stay_open(tmp_path: Path) -> None:
    slides = OpenSlides()
    for number in range(10):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (16, 16)).save(path)
        slides.get(path).read(0, 0, 0, 4, 4)
        assert len(slides) <= 2


def test_nothing_open_is_pickled(tmp_path: Path) -> None:
    slides = OpenSlides(most=3)
    slides.get(place_slide(tmp_path / "a.tif", 40, 40))
    copy = pickle.loads(pickle.dumps(slides))
    assert len(copy) == 0
    assert len(slides) == 1
    copy.get(tmp_path / "a.tif").read(0, 0, 0, 8, 8)


def test_a_slide_that_is_gone_fails_each_time(tmp_path: Path) -> None:
    slides = OpenSlides()
    for _ in range(2):
        with pytest.raises(SlideError, match="no such file"):
            slides.get(tmp_path / "gone.svs")
    assert len(slides) == 0
