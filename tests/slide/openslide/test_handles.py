from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest

from tests.made_slides import he_pixels, write_tiff
from tests.test_bad_input import corrupt_a_tile
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.openslide.handles import Handles
from wsi_embed.slide.openslide.slide import OpenSlideSlide

PIXELS = he_pixels(700, 900, seed=1)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "good.tif", PIXELS, compression="jpeg", levels=(1,), tile=128)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Tile 10 of 8 x 6 is damaged: columns 256 to 384, rows 128 to 256."""
    path = write_tiff(tmp_path / "bad.tif", PIXELS, compression="jpeg", levels=(1,), tile=128)
    return corrupt_a_tile(path, 10)


def test_an_error_sticks_to_openslides_own_handle(damaged: Path) -> None:
    """Why this module is there; if it fails one day, the module can go."""
    with openslide.OpenSlide(damaged) as osr:
        with pytest.raises(openslide.OpenSlideError):
            osr.read_region((256, 128), 0, (64, 64))
        with pytest.raises(openslide.OpenSlideError):
            osr.read_region((0, 0), 0, (64, 64))


def test_after_an_error_the_rest_can_still_be_read(good: Path, damaged: Path) -> None:
    with open_slide(good) as whole, open_slide(damaged) as slide:
        for _ in range(3):
            with pytest.raises(SlideError, match="cannot be read"):
                slide.read(0, 256, 128, 64, 64)
            np.testing.assert_array_equal(slide.read(0, 0, 0, 64, 64), whole.read(0, 0, 0, 64, 64))


def test_threads_do_not_suffer_from_each_others_errors(good: Path, damaged: Path) -> None:
    with open_slide(good) as whole, open_slide(damaged) as slide:

        def read(seed: int) -> bool:
            rng = random.Random(seed)
            x, y = rng.randrange(0, 836), rng.randrange(0, 636)
            bad = 256 - 64 < x < 384 and 128 - 64 < y < 256
            try:
                pixels = slide.read(0, x, y, 64, 64)
            except SlideError:
                return bad
            return not bad and bool((pixels == whole.read(0, x, y, 64, 64)).all())

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(600)))


def test_a_thousand_errors_leave_no_open_files(damaged: Path) -> None:
    with open_slide(damaged) as slide, ThreadPoolExecutor(4) as pool:
        before = len(os.listdir("/proc/self/fd"))

        def fail(_: int) -> None:
            with pytest.raises(SlideError):
                slide.read(0, 256, 128, 64, 64)

        list(pool.map(fail, range(300)))
        assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_closing_twice_is_fine(good: Path) -> None:
    handles = Handles(good)
    handles.close()
    handles.close()


def test_a_shared_cache_outlives_errors_and_slides(good: Path, damaged: Path) -> None:
    cache = openslide.OpenSlideCache(4 * 1024 * 1024)
    with open_slide(good) as whole, OpenSlideSlide(good) as first, OpenSlideSlide(damaged) as second:
        for slide in (first, second):
            slide.share_cache(cache)
        for _ in range(2):
            with pytest.raises(SlideError, match="cannot be read"):
                second.read(0, 256, 128, 64, 64)
            for slide in (first, second):
                np.testing.assert_array_equal(slide.read(0, 0, 0, 200, 100), whole.read(0, 0, 0, 200, 100))
        first.close()
        np.testing.assert_array_equal(second.read(0, 0, 0, 64, 64), whole.read(0, 0, 0, 64, 64))
