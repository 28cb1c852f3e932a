"""Deep-zoom tiles against a pyramid that NumPy averages from the whole slide."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_formats.ome_zarr import write_ome_zarr
from tests.made_slides import he_pixels, write_tiff
from wsi_embed import Slide, open_slide
from wsi_embed.slide.tiff.jpeg import JpegDecoder
from wsi_embed.viewer import pyramid
from wsi_embed.viewer.pyramid import Overview, Pyramid, read_tile

UInt8Array = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 1103, 901  # odd, so that no level is of whole pixels


@pytest.fixture(scope="module")
def pixels() -> UInt8Array:
    return he_pixels(HEIGHT, WIDTH, seed=3)


def averaged(pixels: UInt8Array, factor: int) -> npt.NDArray[np.float64]:
    """The level of a factor: the mean of its pixels, with those beyond the edge repeated."""
    height, width = pixels.shape[:2]
    rows, columns = -(-height // factor), -(-width // factor)
    edge = ((0, rows * factor - height), (0, columns * factor - width), (0, 0))
    whole = np.pad(pixels, edge, "edge").astype(float)
    return np.asarray(whole.reshape(rows, factor, columns, factor, 3).mean((1, 3)))


def assembled(slide: Slide, level: int, overview: Overview | None = None) -> UInt8Array:
    """A level put together from all of its tiles."""
    zoom = Pyramid.of(slide)
    width, height = zoom.size(level)
    whole = np.zeros((height, width, 3), np.uint8)
    covered = np.zeros((height, width), int)
    for row in range(-(-height // zoom.tile)):
        for column in range(-(-width // zoom.tile)):
            x, y, w, h = zoom.box(level, column, row)
            tile = read_tile(slide, level, column, row, overview)
            assert tile.shape == (h, w, 3)
            whole[y : y + h, x : x + w] = tile
            covered[y : y + h, x : x + w] += 1
    assert (covered == 1).all()
    return whole


def test_every_pixel_of_every_level_is_the_mean_of_the_slide(tmp_path: Path, pixels: UInt8Array) -> None:
    with open_slide(write_tiff(tmp_path / "one.tiff", pixels, levels=(1,))) as slide:
        zoom = Pyramid(WIDTH, HEIGHT)
        assert [zoom.size(level) for level in range(zoom.levels)] == [
            (138, 113), (276, 226), (552, 451), (1103, 901),
        ]  # fmt: skip
        for level in range(zoom.levels):
            expected = averaged(pixels, zoom.factor(level))
            assert np.abs(assembled(slide, level) - expected).max() <= 0.51
        np.testing.assert_array_equal(assembled(slide, zoom.levels - 1), pixels)


@pytest.mark.parametrize("levels", [(1, 4), (1, 2, 3), (1, 2, 4, 8)])
def test_levels_of_the_slide_are_used_and_not_shifted(
    tmp_path: Path, pixels: UInt8Array, levels: tuple[int, ...]
) -> None:
    """Levels of a file are rounded to whole pixels, so that their scales are not whole numbers."""
    with open_slide(write_tiff(tmp_path / "slide.tiff", pixels, levels=levels)) as slide:
        zoom = Pyramid(WIDTH, HEIGHT)
        for level in range(zoom.levels):
            expected = averaged(pixels, zoom.factor(level))
            found = assembled(slide, level).astype(float)
            off = np.abs(found - expected).mean()
            for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                assert off < np.abs(np.roll(found, shift, (0, 1)) - expected).mean()
            assert off < 4


@pytest.mark.parametrize(("tile", "side"), [(240, 240), (512, 512), (64, 256), (2048, 256)])
def test_tiles_are_those_of_the_file_so_that_each_is_decoded_once(
    tmp_path: Path, pixels: UInt8Array, monkeypatch: pytest.MonkeyPatch, tile: int, side: int
) -> None:
    path = write_tiff(tmp_path / "one.tiff", pixels, levels=(1,), tile=tile, compression="jpeg")
    with open_slide(path) as slide:
        assert slide.reader == "tiff"
        zoom = Pyramid.of(slide)
        assert zoom.tile == side
        level = zoom.levels - 1
        expected = slide.read(0, 0, 0, WIDTH, HEIGHT)
        decoded: list[object] = []
        decode = JpegDecoder.decode

        def counted(self: JpegDecoder, *given: Any, **more: Any) -> Any:
            decoded.append(given)
            return decode(self, *given, **more)

        monkeypatch.setattr(JpegDecoder, "decode", counted)
        np.testing.assert_array_equal(assembled(slide, level), expected)
        if side == tile:
            assert len(decoded) == -(-WIDTH // tile) * -(-HEIGHT // tile)


def test_an_ome_zarr_is_shown_with_the_tiles_of_its_chunks(tmp_path: Path, pixels: UInt8Array) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, chunk=256, factors=(1, 2, 4))
    with open_slide(folder) as slide:
        zoom = Pyramid.of(slide)
        assert zoom.tile == 256
        np.testing.assert_array_equal(assembled(slide, zoom.levels - 1), pixels)


def test_tiles_in_bands_are_the_same(
    tmp_path: Path, pixels: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_slide(write_tiff(tmp_path / "one.tiff", pixels, levels=(1,))) as slide:
        expected = assembled(slide, 0)
        monkeypatch.setattr(pyramid, "BAND_PIXELS", 40_000)
        np.testing.assert_array_equal(assembled(slide, 0), expected)


def test_coarse_levels_of_a_slide_without_small_ones_come_from_one_overview(
    tmp_path: Path, pixels: UInt8Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_slide(write_tiff(tmp_path / "one.tiff", pixels, levels=(1,))) as slide:
        overview = Overview()
        monkeypatch.setattr(pyramid, "OVERVIEW_PX", 276)
        found = assembled(slide, 0, overview)
        assert overview.read(slide).shape[1] == 276
        assert np.abs(found - averaged(pixels, 8)).mean() < 3


@given(width=st.integers(1, 10**6), height=st.integers(1, 10**6), tile=st.sampled_from([64, 256, 512]))
def test_levels_halve_down_to_one_tile(width: int, height: int, tile: int) -> None:
    zoom = Pyramid(width, height, tile)
    sizes = [zoom.size(level) for level in range(zoom.levels)]
    assert sizes[-1] == (width, height)
    assert max(sizes[0]) <= tile
    assert zoom.levels == 1 or max(sizes[1]) > tile
    for (w, h), (w2, h2) in itertools.pairwise(sizes):
        assert (w, h) == (-(-w2 // 2), -(-h2 // 2))


@pytest.mark.parametrize("place", [(-1, 0, 0), (4, 0, 0), (0, 1, 0), (3, 5, 0), (3, 0, 4), (3, -1, 0)])
def test_there_are_no_other_tiles(place: tuple[int, int, int]) -> None:
    with pytest.raises(KeyError):
        Pyramid(WIDTH, HEIGHT).box(*place)
