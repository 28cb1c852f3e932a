"""Selection of tiles: those that a plain loop selects, with bad files and stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.made_slides import he_pixels, write_tiff
from wsi_embed import open_slide
from wsi_embed.errors import SlideError, Stopped
from wsi_embed.grid import TileGrid, make_grid, plan_read
from wsi_embed.quality import QualityLimits
from wsi_embed.quality.focus import focus
from wsi_embed.quality.selection import select_tiles
from wsi_embed.quality.tiles import TileQuality
from wsi_embed.slide import Slide

SHARP = QualityLimits(min_focus=8.0)


def half_blurred(side: int = 512) -> np.ndarray:
    """Tissue all over, the right half of which is out of focus."""
    pixels = np.tile(he_pixels(128, 128)[40:104, 40:104], (side // 64, side // 64, 1))
    pixels[:, side // 2 :] = cv2.GaussianBlur(pixels, (0, 0), 4)[:, side // 2 :]
    return pixels


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiff(tmp_path_factory.mktemp("s") / "a.tiff", half_blurred(), compression="jpeg")


@pytest.fixture
def slide(path: Path) -> Iterator[Slide]:
    with open_slide(path) as opened:
        yield opened


def grid_of(slide: Slide, px: int = 64) -> TileGrid:
    plan = plan_read(0.5, slide.level_downsamples, 0.5, px)
    return make_grid(plan, (1.0, 1.0), slide.level_sizes[0], slide.bounds)


@pytest.mark.parametrize("workers", [1, 4])
def test_blurred_tiles_are_found(slide: Slide, workers: int) -> None:
    grid = grid_of(slide)
    kept = select_tiles(slide, grid, SHARP, glass=None, workers=workers, stop=threading.Event())
    assert kept.tolist() == [focus(tile) >= 8.0 for _, tile in slide.read_tiles(grid)]
    assert kept.tolist() == (grid.coords[:, 0] < 256).tolist()


def test_a_grid_without_tiles(slide: Slide) -> None:
    none = grid_of(slide).where(np.zeros(64, np.bool_))
    assert len(select_tiles(slide, none, SHARP, glass=None, workers=2, stop=threading.Event())) == 0


def test_a_stop_ends_it(slide: Slide) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        select_tiles(slide, grid_of(slide), SHARP, glass=None, workers=2, stop=stop)


def test_unreadable_tiles_fail_or_are_kept(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    found = content.find(b"\xff\xda")  # the scan of the first compressed tile
    content[found + 14 : found + 2000] = b"\xff\xd9" * 993
    broken = tmp_path / "b.tiff"
    broken.write_bytes(content)
    with open_slide(broken) as slide:
        grid = grid_of(slide)
        with pytest.raises(SlideError):
            select_tiles(slide, grid, SHARP, glass=None, workers=2, stop=threading.Event())
        kept = select_tiles(
            slide, grid, SHARP, glass=None, workers=2, stop=threading.Event(), around_unreadable=True
        )
    first = (grid.coords < 256).all(1)
    assert kept[first].all()
    assert kept[~first].tolist() == (grid.coords[~first, 0] < 256).tolist()


def test_the_order_of_batches_does_not_matter(slide: Slide) -> None:
    grid = grid_of(slide)
    tiles = np.stack([tile for _, tile in slide.read_tiles(grid)])
    one, other = TileQuality(grid), TileQuality(grid)
    one.measure(0, tiles)
    for start in (48, 0, 16, 32):
        other.measure(start, tiles[start : start + 16])
    other.measure(0, tiles[:0])
    for name, values in one.arrays.items():
        np.testing.assert_array_equal(values, other.arrays[name])
    about = one.attributes()
    assert about["arrays"] == ["focus", "pen", "dark"]
    assert about["focus_mpp"] == 0.5
    assert about["focus"] == pytest.approx(float(np.median(one.arrays["focus"])), abs=1e-3)
    assert about["blurred"] == (one.arrays["focus"] < 4.0).mean()
    assert TileQuality(grid.where(np.zeros(64, np.bool_))).attributes()["focus"] is None
