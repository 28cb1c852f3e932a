"""Slides made of the packaged tissue: the pixels, the layout, and how much of them is tissue."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed import open_slide
from wsi_embed.slide.sample import GLASS, Mosaic, tissue_picture, write_sample_slide
from wsi_embed.tissue import TissueRecipe, tissue_mask

MOSAIC = Mosaic(4000, [tissue_picture()])
WHOLE = MOSAIC.region(0, 0, 4000, 4000)


@given(st.integers(0, 3999), st.integers(0, 3999), st.integers(1, 900), st.integers(1, 900))
def test_regions_are_parts_of_the_whole(x: int, y: int, w: int, h: int) -> None:
    region = MOSAIC.region(x, y, w, h)
    inside = WHOLE[y : y + h, x : x + w]
    np.testing.assert_array_equal(region[: inside.shape[0], : inside.shape[1]], inside)
    assert region.shape == (h, w, 3)


def test_the_mosaic_is_tissue_on_glass() -> None:
    glass = (WHOLE == GLASS).all(2)
    assert 0.3 < 1 - glass.mean() < 0.7
    assert glass[:200, :200].all()
    assert not glass[1990:2010, 1990:2010].any()


@pytest.mark.parametrize("reader", ["openslide", "tiff"])
def test_both_readers_read_it(tmp_path: Path, reader: str) -> None:
    path = write_sample_slide(tmp_path / "s.tif", 1500, mpp=0.25)
    with open_slide(path, reader) as slide:
        assert slide.level_sizes == [(1500, 1500), (375, 375), (93, 93)]
        assert slide.mpp == (0.25, 0.25)
        assert (slide.vendor, slide.reader) == ("aperio", reader)
        read = slide.read(0, 600, 600, 300, 200).astype(int)
        small = slide.read(1, 100, 100, 90, 80).astype(int)
        mask = tissue_mask(slide, 0.25, TissueRecipe())
    mosaic = Mosaic(1500, [tissue_picture()])
    assert np.abs(read - mosaic.region(600, 600, 300, 200)).mean() < 8  # JPEG, with half the colours
    expected = cv2.resize(mosaic.region(400, 400, 360, 320), (90, 80), interpolation=cv2.INTER_AREA)
    assert np.abs(small - expected).mean() < 8
    assert 0.2 < mask.fraction < 0.9


def test_the_file_is_laid_out_as_a_scanner_does(tmp_path: Path) -> None:
    path = write_sample_slide(tmp_path / "s.tif", 1000, mpp=0.25, levels=(1, 4))
    with tifffile.TiffFile(path) as tif:
        pages = [page.aspage() for page in tif.pages]
        assert tif.is_bigtiff
        assert [p.compression for p in pages] == [tifffile.COMPRESSION.JPEG] * 2
        assert [(p.tilewidth, p.tilelength) for p in pages] == [(256, 256)] * 2
        assert pages[0].subsampling == (2, 2)
        assert pages[0].description.endswith("|AppMag = 40|MPP = 0.2500")


def test_pictures_of_others(tmp_path: Path) -> None:
    red = np.full((500, 500, 3), (200, 30, 40), np.uint8)
    with open_slide(write_sample_slide(tmp_path / "s.tif", 1000, pictures=[red])) as slide:
        assert np.abs(slide.read(0, 400, 400, 100, 100).astype(int) - red[:100, :100]).max() < 4
