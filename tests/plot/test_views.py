"""Maps: every pixel belongs to the tile below it, outlines lie where the mask ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.plot.bag_tiles import Tiles
from wsi_embed.plot.colours import OUTLINE
from wsi_embed.plot.views import View, outlined, tile_at_pixels


def blank(width: int, height: int, size: tuple[int, int]) -> View:
    pixels = np.full((height, width, 3), 230, np.uint8)
    return View(pixels, (width / size[0], height / size[1]))


def slow_map(grid: TileGrid, view: View) -> npt.NDArray[np.int32]:
    """The tile whose middle cell holds each pixel's centre, looked for one by one."""
    out: npt.NDArray[np.int32] = np.full((view.size[1], view.size[0]), -1, np.int32)
    step = grid.stride * np.array(grid.scale)
    trim = (grid.read_px - grid.stride) * np.array(grid.scale) / 2
    for row, (x, y) in enumerate((grid.level_xy * np.array(grid.scale)).tolist()):
        for py in range(view.size[1]):
            for px in range(view.size[0]):
                cx, cy = (px + 0.5) / view.scale[0], (py + 0.5) / view.scale[1]
                left, top = x + trim[0], y + trim[1]
                if left <= cx < left + step[0] and top <= cy < top + step[1]:
                    out[py, px] = row
    return out


@settings(max_examples=40)
@given(
    read_px=st.integers(8, 40),
    overlap=st.integers(0, 7),
    scale=st.sampled_from([(1.0, 1.0), (2.0, 2.0), (4.00012, 4.70031)]),
    origin=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    width=st.integers(5, 40),
    keep=st.integers(0, 2**32 - 1),
)
def test_pixels_belong_to_the_tile_below_them(
    read_px: int, overlap: int, scale: tuple[float, float], origin: tuple[int, int], width: int, keep: int
) -> None:
    level = (170, 130)
    size = (round(level[0] * scale[0]), round(level[1] * scale[1]))
    bounds = (*origin, size[0] - origin[0], size[1] - origin[1])
    grid = make_grid(ReadPlan(0, read_px, read_px, 0.5), scale, level, bounds, overlap)
    grid = grid.where(np.random.default_rng(keep).random(len(grid)) < 0.6)
    view = blank(width, round(width * level[1] / level[0]), size)
    np.testing.assert_array_equal(tile_at_pixels(grid, view), slow_map(grid, view))


def test_a_full_grid_leaves_no_gap_at_any_scale() -> None:
    grid = make_grid(ReadPlan(0, 37, 37, 0.5), (1.0, 1.0), (37 * 9, 37 * 7), (0, 0, 37 * 9, 37 * 7))
    for width in range(20, 400, 7):
        found = tile_at_pixels(grid, blank(width, round(width * 7 / 9), (37 * 9, 37 * 7)))
        assert found.min() >= 0
        assert len(np.unique(found)) == 63


def made_tiles(mask: npt.NDArray[np.bool_] | None, scale: tuple[float, float]) -> Tiles:
    grid = make_grid(ReadPlan(0, 32, 32, 0.5), (1.0, 1.0), (320, 320), (0, 0, 320, 320))
    return Tiles("s", grid, None, 0.5, "f", mask, scale)


def test_the_outline_lies_where_the_mask_ends() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[5:15, 4:12] = True  # level 0: x 64 to 192, y 80 to 240
    view = blank(640, 640, (320, 320))  # two pixels a level-0 pixel
    drawn = outlined(view, made_tiles(mask, (16.0, 16.0)), 2)
    ys, xs = np.nonzero((drawn == np.array(OUTLINE, np.uint8)).all(2))
    for found, expected in ((xs.min(), 128), (xs.max(), 384), (ys.min(), 160), (ys.max(), 480)):
        assert abs(int(found) - expected) <= 4
    assert not ((xs > 150) & (xs < 360) & (ys > 180) & (ys < 460)).any()


def test_without_a_mask_in_the_store_there_is_no_outline() -> None:
    view = blank(100, 100, (320, 320))
    np.testing.assert_array_equal(outlined(view, made_tiles(None, (1.0, 1.0)), 2), view.pixels)
    assert tile_at_pixels(replace(made_tiles(None, (1, 1))).grid.rows(0, 0), view).max() == -1
