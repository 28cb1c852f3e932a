from __future__ import annotations

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.made_slides import UInt8Array, blobs, he_pixels, write_tiff
from tests.made_tissue import dice
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid, make_grid, plan_read
from wsi_embed.regions import Polygon, Regions
from wsi_embed.slide import open_slide
from wsi_embed.tissue import TissueMask, TissueRecipe, tissue_mask
from wsi_embed.tissue.glass import DARKEST_GLASS, _smooth, glass_like

OTSU = TissueRecipe()


def mask_of(path: Path, mpp: float, recipe: TissueRecipe = OTSU) -> TissueMask:
    with open_slide(path) as slide:
        return tissue_mask(slide, mpp, recipe)


def image(folder: Path, pixels: UInt8Array) -> Path:
    Image.fromarray(pixels).save(folder / "a.png")
    return folder / "a.png"


def slow_coverage(mask: TissueMask, grid: TileGrid) -> list[float]:
    """Sum over mask pixels of their overlap with the tile, by the tile's area inside the slide."""
    shares = []
    height, width = mask.mask.shape[0] * mask.scale[1], mask.mask.shape[1] * mask.scale[0]
    for x, y in (grid.level_xy * np.array(grid.scale)).tolist():
        total = 0.0
        for row, col in np.argwhere(mask.mask).tolist():
            left, right = col * mask.scale[0], (col + 1) * mask.scale[0]
            top, bottom = row * mask.scale[1], (row + 1) * mask.scale[1]
            w = min(right, x + grid.extent) - max(left, x)
            h = min(bottom, y + grid.extent) - max(top, y)
            total += max(w, 0) * max(h, 0)
        inside = (min(x + grid.extent, width) - x) * (min(y + grid.extent, height) - y)
        shares.append(total / inside)
    return shares


@settings(max_examples=60)
@given(
    bits=st.integers(0, 2**24 - 1),
    shape=st.sampled_from([(4, 6), (6, 4), (1, 24), (24, 1), (1, 1)]),
    size=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    read_px=st.integers(3, 40),
    downsample=st.sampled_from([1.0, 2.0, 2.0007]),
)
def test_coverage_is_the_exact_overlap_of_tile_and_tissue(
    bits: int, shape: tuple[int, int], size: tuple[int, int], read_px: int, downsample: float
) -> None:
    h, w = shape
    pixels = np.array([bits >> i & 1 for i in range(h * w)], np.bool_).reshape(shape)
    width, height = size[0] * downsample, size[1] * downsample
    mask = TissueMask(pixels, (width / w, height / h))
    bounds = (0, 0, int(width), int(height))
    grid = make_grid(ReadPlan(0, read_px, read_px, 1.0), (downsample, downsample), size, bounds, edge="pad")
    shares = mask.coverage(grid)
    assert shares.dtype == np.float32
    assert shares.tolist() == pytest.approx(slow_coverage(mask, grid), abs=1e-5)


def test_of_a_tile_that_sticks_out_the_part_inside_counts() -> None:
    mask = TissueMask(np.ones((10, 10), np.bool_), (1.0, 1.0))
    grid = make_grid(ReadPlan(0, 8, 8, 1.0), (1.0, 1.0), (10, 10), (0, 0, 10, 10), edge="pad")
    assert mask.coverage(grid).tolist() == [1, 1, 1, 1]


def test_the_fraction_is_the_share_of_the_mask() -> None:
    assert TissueMask(np.array([[True, False, False, False]]), (1.0, 1.0)).fraction == 0.25


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_otsu_finds_made_tissue(tmp_path: Path, seed: int) -> None:
    path = write_tiff(tmp_path / "a.tif", he_pixels(900, 1100, seed), compression="jpeg")
    found = mask_of(path, 4.0).mask
    truth = cv2.resize(blobs(900, 1100, seed).astype(np.uint8), found.shape[::-1]).astype(np.bool_)
    assert dice(found, truth) > 0.95


@pytest.mark.parametrize("mpp", [0.5, 2.0, 8.0, 20.0])
def test_otsu_finds_made_tissue_at_any_resolution(tmp_path: Path, mpp: float) -> None:
    path = image(tmp_path, he_pixels(900, 1100, seed=3))
    found = mask_of(path, mpp).mask
    truth = cv2.resize(blobs(900, 1100, seed=3).astype(np.uint8), found.shape[::-1]).astype(np.bool_)
    assert dice(found, truth) > 0.9


def test_a_sharp_edge_of_tissue_at_the_border_of_the_slide_is_kept(tmp_path: Path) -> None:
    pixels = he_pixels(400, 400, seed=1)
    pixels[:] = np.where(np.arange(400)[:, None, None] < 200, (200, 90, 160), pixels * 0 + 243)
    found = mask_of(image(tmp_path, pixels), 8.0).mask
    assert found[:196].all()
    assert not found[204:].any()


@pytest.mark.parametrize("glass", [(255, 255, 255), (243, 243, 243), (240, 238, 234)])
def test_empty_glass_has_no_tissue(tmp_path: Path, glass: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (500, 500, 1))
    pixels = (np.array(glass) + noise).clip(0, 255).astype(np.uint8)
    assert mask_of(image(tmp_path, pixels), 8.0).fraction == 0


def test_a_slide_that_is_all_tissue_is_all_tissue(tmp_path: Path) -> None:
    pixels = np.where(np.arange(400)[None, :, None] < 200, (120, 60, 150), (225, 175, 205))
    pixels = np.broadcast_to(pixels, (400, 400, 3)).astype(np.uint8)
    assert mask_of(image(tmp_path, pixels), 8.0).fraction == 1


def test_specks_are_removed_and_small_holes_closed(tmp_path: Path) -> None:
    pixels = np.full((600, 600, 3), 243, np.uint8)
    pixels[100:400, 100:400] = (190, 90, 160)
    pixels[240:243, 240:243] = 243
    pixels[500:502, 500:502] = (190, 90, 160)
    found = mask_of(image(tmp_path, pixels), 8.0).mask
    assert found[240:243, 240:243].all()
    assert not found[450:, 450:].any()


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 700), (700, 1), (3, 2)])
def test_tiny_and_thin_slides_have_a_mask(tmp_path: Path, h: int, w: int) -> None:
    found = mask_of(image(tmp_path, np.full((h, w, 3), 243, np.uint8)), 0.5)
    assert found.mask.shape[0] >= 1
    assert found.mask.shape[1] >= 1
    assert found.mask.shape[1] * found.scale[0] == pytest.approx(w)
    assert found.mask.shape[0] * found.scale[1] == pytest.approx(h)
    assert found.fraction == 0


def test_the_mask_has_the_resolution_that_was_asked_for(tmp_path: Path) -> None:
    path = image(tmp_path, he_pixels(400, 640))
    assert mask_of(path, 2.0, TissueRecipe(mask_mpp=8.0)).mask.shape == (100, 160)
    assert mask_of(path, 2.0, TissueRecipe(mask_mpp=8.0, max_px=32)).mask.shape == (20, 32)
    assert mask_of(path, 20.0).mask.shape == (400, 640)


def test_recipe_none_takes_everything_without_reading(tmp_path: Path) -> None:
    path = image(tmp_path, np.full((300, 500, 3), 243, np.uint8))
    path.write_bytes(path.read_bytes()[:-200])  # damaged: a read would fail
    found = mask_of(path, 8.0, TissueRecipe(name="none"))
    assert found.mask.shape == (300, 500)
    assert found.fraction == 1


@pytest.mark.parametrize("name", ["otsu", "none"])
def test_only_tissue_inside_the_regions_counts(tmp_path: Path, name: str) -> None:
    pixels = np.full((200, 200, 3), (190, 90, 160), np.uint8)
    square = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], np.float64)
    with open_slide(image(tmp_path, pixels)) as slide:
        found = tissue_mask(slide, 4.0, TissueRecipe(name=name), Regions([Polygon([square])], [], ""))
    assert found.fraction == pytest.approx(0.25, abs=0.02)
    assert found.mask[:49, :49].all()
    assert not found.mask[52:, 52:].any()


def test_a_real_he_section_beside_glass_is_found(shared_slides: Path) -> None:
    with open_slide(shared_slides / "CMU-1-Small-Region.svs") as slide:
        found = tissue_mask(slide, 0.499, OTSU)
    assert 0.3 < found.fraction < 0.45  # as outlined by eye
    h, w = found.mask.shape
    assert found.mask[int(0.9 * h), int(0.5 * w)]
    assert not found.mask[int(0.7 * h), int(0.1 * w)]
    assert not found.mask[int(0.6 * h), int(0.92 * w)]


@pytest.mark.parametrize("name", ["camelyon_lowres_jpeg.dcm", "camelyon_lowres_jpeg2000.dcm"])
def test_a_real_whole_section_is_tissue_on_much_glass(shared_slides: Path, name: str) -> None:
    assert 0.03 < mask_of(shared_slides / name, 20.0).fraction < 0.6


def test_a_real_section_is_found_where_its_tiles_are_and_nowhere_else(shared_data: Path) -> None:
    found = mask_of(shared_data / "regions" / "idc_14306.png", 4.0)
    with (shared_data / "regions" / "idc_14306_tiles.csv").open(newline="") as lines:
        tiles = [(int(t["x"]), int(t["y"]), int(t["size"])) for t in csv.DictReader(lines)]
    mask = cv2.resize(found.mask.astype(np.uint8), (1700, 2250)).astype(np.bool_)
    centers = [mask[y + size // 2, x + size // 2] for x, y, size in tiles]
    assert np.mean(centers) > 0.75  # the others are tiles of mostly glass
    for x, y, size in tiles:
        mask[max(0, y - 16) : y + size + 16, max(0, x - 16) : x + size + 16] = False
    assert mask.mean() < 0.001


def test_fluorescence_is_named_and_can_be_taken_whole(shared_slides: Path) -> None:
    path = shared_slides / "test3-TRITC-2-560.ndpi"
    with pytest.raises(SlideError, match=r"test3-TRITC-2-560\.ndpi: no glass in view .* `tissue='none'`"):
        mask_of(path, 0.228)
    assert mask_of(path, 0.228, TissueRecipe("none")).fraction == 1
    assert 0 <= mask_of(path, 0.228, TissueRecipe(dark=0)).fraction <= 1


def test_what_to_look_at_is_noted(tmp_path: Path) -> None:
    plain = mask_of(image(tmp_path, he_pixels(400, 400)), 8.0)
    assert plain.note is None
    magenta = np.full((600, 600, 3), (255, 115, 255), np.uint8)
    assert "100 % of the slide counts as tissue" in str(mask_of(image(tmp_path, magenta), 8.0).note)
    marked = he_pixels(400, 400)
    marked[20:60] = (20, 120, 60)
    note = str(mask_of(image(tmp_path, marked), 8.0).note)  # 3.2 x 0.32 mm, and what is next to it
    assert re.fullmatch(r"1\.[0-2] mm2 of pen marks left out \(`tissue_set=.*pen.*off.*` keeps them\)", note)


def test_nearly_empty_tiles_are_counted() -> None:
    """Tiles without structure within the mask are nearly empty, whatever the tint of the glass."""
    view = np.full((1200, 80, 3), (240, 225, 232), np.uint8)
    view[:, :40] = np.random.default_rng(0).integers(60, 220, (1200, 40, 3))
    empty = glass_like(view)
    np.testing.assert_array_equal(empty[:, 45:], True)
    np.testing.assert_array_equal(empty[:, :38], False)
    mask = TissueMask(np.ones((1200, 80), np.bool_), (1.0, 1.0), empty=empty)
    grid = make_grid(plan_read(1.0, [1.0], 1.0, 20), (1.0, 1.0), (80, 1200), (0, 0, 80, 1200), 0, "drop")
    assert mask.near_empty(grid) == 0.25  # the last of four columns; the third has the edge
    assert TissueMask(mask.mask, (1.0, 1.0)).near_empty(grid) is None


@given(st.integers(1, 1300), st.integers(0, 1000))
@settings(max_examples=20)
def test_bands_do_not_change_what_looks_like_glass(height: int, seed: int) -> None:
    view = np.random.default_rng(seed).integers(225, 235, (height, 9, 3)).astype(np.uint8)
    view[seed % height] = 100
    low = view.min(2)
    np.testing.assert_array_equal(glass_like(view), _smooth(view) & (low >= DARKEST_GLASS))
