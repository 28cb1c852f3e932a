from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_tissue import BoolArray
from wsi_embed.tissue.areas import close_gaps, drop_small, fill_small, grow, remove_thin, shrink, tidy
from wsi_embed.tissue.recipe import TissueRecipe


def random_mask(seed: int) -> BoolArray:
    rng = np.random.default_rng(seed)
    return np.asarray(cv2.blur(rng.random((40, 50)), (5, 5)) > rng.uniform(0.4, 0.6), np.bool_)


def slow_grow(mask: BoolArray, radius: float) -> BoolArray:
    """Every pixel against every pixel of the mask."""
    grown = np.zeros_like(mask)
    y, x = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]]
    for row, col in np.argwhere(mask).tolist():
        grown |= (y - row) ** 2 + (x - col) ** 2 <= radius**2
    return grown


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [1.0, 3.3, 7.0])
def test_growing_adds_a_disc(seed: int, radius: float) -> None:
    mask = random_mask(seed)
    inner, outer = slow_grow(mask, radius * 0.97 - 0.1), slow_grow(mask, radius * 1.03 + 0.1)
    grown = grow(mask, radius)  # distances are approximated to 3 %
    assert not (inner & ~grown).any()
    assert not (grown & ~outer).any()


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), radius=st.floats(0, 12))
def test_laws_of_morphology(seed: int, radius: float) -> None:
    mask = random_mask(seed)
    assert not (mask & ~grow(mask, radius)).any()
    assert not (shrink(mask, radius) & ~mask).any()
    assert not (mask & ~close_gaps(mask, radius)).any()
    assert not (remove_thin(mask, radius) & ~mask).any()
    np.testing.assert_array_equal(shrink(mask, radius), ~grow(~mask, radius))


@pytest.mark.parametrize("value", [True, False])
def test_empty_and_full_masks_stay(value: bool) -> None:
    mask = np.full((20, 30), value)
    assert (tidy(mask, TissueRecipe(), 8.0) == value).all()


def test_pieces_and_holes_go_by_their_area() -> None:
    mask = np.zeros((60, 60), np.bool_)
    mask[5:45, 5:45] = True
    mask[10:15, 10:15] = False  # 25
    mask[20:30, 20:30] = False  # 100
    mask[50:54, 50:54] = True  # 16
    assert not drop_small(mask, 17)[50:54, 50:54].any()
    assert drop_small(mask, 16)[50:54, 50:54].all()
    filled = fill_small(mask, 26)
    assert filled[10:15, 10:15].all()
    assert not filled[20:30, 20:30].any()
    assert fill_small(mask, 101)[5:45, 5:45].all()
    np.testing.assert_array_equal(fill_small(mask, 0), mask)


def test_a_bay_at_the_border_is_no_hole() -> None:
    mask = np.ones((30, 30), np.bool_)
    mask[0:4, 10:14] = False
    np.testing.assert_array_equal(fill_small(mask, 1e9), mask)


def at(mask: BoolArray, place: float) -> bool:
    """The mask on its diagonal, pixels."""
    return bool(mask[round(place), round(place)])


@pytest.mark.parametrize("mpp", [4.0, 8.0])
def test_sizes_are_micrometres(mpp: float) -> None:
    """A hole of 0.09 mm2 and a piece of 0.04 mm2 at two resolutions."""
    side = round(2400 / mpp)
    mask = np.zeros((side, side), np.bool_)
    um = (np.arange(side) + 0.5) * mpp
    mask |= (np.abs(um - 800) < 600)[:, None] & (np.abs(um - 800) < 600)
    mask &= ~((np.abs(um - 800) < 150)[:, None] & (np.abs(um - 800) < 150))
    mask |= (np.abs(um - 2000) < 100)[:, None] & (np.abs(um - 2000) < 100)
    kept = tidy(mask, TissueRecipe(max_hole_um2=80_000, min_area_um2=30_000, close_um=0), mpp)
    gone = tidy(mask, TissueRecipe(max_hole_um2=100_000, min_area_um2=50_000, close_um=0), mpp)
    assert (at(kept, 800 / mpp), at(kept, 2000 / mpp)) == (False, True)
    assert (at(gone, 800 / mpp), at(gone, 2000 / mpp)) == (True, False)


def test_specks_do_not_become_tissue_by_closing() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[::4, ::4] = True
    assert not tidy(mask, TissueRecipe(), 8.0).any()


def test_on_a_small_crop_a_small_piece_is_no_debris() -> None:
    mask = np.zeros((300, 300), np.bool_)  # 150 um a side
    mask[100:160, 100:160] = True
    mask[10:25, 10:25] = True
    kept = tidy(mask, TissueRecipe(close_um=0, open_um=0), 0.5)
    assert kept[130, 130]
    assert not kept[15, 15], "less than a hundredth of the view"
