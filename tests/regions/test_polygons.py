from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.errors import SlideError
from wsi_embed.regions import Polygon, Regions
from wsi_embed.regions.polygons import Origin

SIZE = (100, 80)
BOUNDS = (0, 0, 100, 80)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return Polygon([np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)])


def donut() -> Polygon:
    return Polygon([box(20, 20, 60, 60).rings[0], box(30, 30, 50, 50).rings[0]])


def regions(include: list[Polygon] | None, *exclude: Polygon, origin: Origin = "level0") -> Regions:
    return Regions(include, list(exclude), "digest", "a.geojson", origin)


def test_the_mask_is_true_inside_and_false_outside() -> None:
    mask = regions([box(20, 40, 60, 70)]).mask((80, 100), (1, 1))
    expected = np.zeros((80, 100), bool)
    expected[40:70, 20:60] = True
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, expected)


def test_the_mask_follows_its_scale_in_x_and_y() -> None:
    mask = regions([box(20, 40, 60, 80)]).mask((8, 20), (5, 10))
    assert mask[4:8, 4:12].all()
    assert mask.sum() == 4 * 8


def test_holes_are_left_out() -> None:
    mask = regions([donut()]).mask((80, 100), (1, 1))
    assert mask.sum() == 40 * 40 - 20 * 20
    assert not mask[30:50, 30:50].any()


def test_polygons_add_up_and_do_not_cancel() -> None:
    same = box(20, 20, 40, 40)
    assert regions([same, same, box(30, 20, 50, 40)]).mask((80, 100), (1, 1)).sum() == 30 * 20


@pytest.mark.parametrize("include", [None, [box(0, 0, 50, 80)]])
def test_excluded_regions_are_cut_out(include: list[Polygon] | None) -> None:
    before = 80 * 100 if include is None else 80 * 50
    mask = regions(include, donut(), box(0, 0, 10, 10)).mask((80, 100), (1, 1))
    taken_away = 100 + (1200 if include is None else 40 * 30 - 20 * 20)
    assert mask.sum() == before - taken_away
    assert mask[35, 35]  # the hole of what is excluded


@pytest.mark.parametrize(
    "nothing",
    [
        regions([box(20, 20, 40, 40)], box(0, 0, 60, 60)),
        regions(None, box(-1, -1, 101, 81)),
        regions([box(20.1, 20.1, 20.2, 20.2)]),
    ],
)
def test_nothing_left_is_an_error(nothing: Regions) -> None:
    with pytest.raises(SlideError, match=r"^a\.geojson: nothing of the slide is left: [^\n]+$"):
        nothing.mask((80, 100), (1, 1))


def test_polygons_may_stick_out_of_the_slide() -> None:
    assert regions([box(-500, -500, 50, 900)]).mask((80, 100), (1, 1)).sum() == 80 * 50


@pytest.mark.parametrize("dx", [1, -1])
def test_all_outside_is_an_error(dx: int) -> None:
    far = regions([box(200 * dx, 0, 200 * dx + 50, 50), box(0, 1e12, 1, 1e12 + 5)])
    with pytest.raises(SlideError, match=r"all its regions lie outside the slide \(100 x 80 pixels\)"):
        far.placed(SIZE, BOUNDS)
    with pytest.raises(SlideError, match="outside the slide"):
        regions(None, *far.polygons).placed(SIZE, BOUNDS)


def test_partly_outside_is_a_warning() -> None:
    placed = regions([box(60, 20, 120, 40)]).placed(SIZE, BOUNDS)
    (warning,) = placed.warnings
    assert warning.startswith("a.geojson: 33 % of its regions' area lie outside the slide (100 x 80 pixels)")
    assert regions([box(60, 20, 103, 40)]).placed(SIZE, BOUNDS).warnings == ()


def test_a_small_region_beside_a_far_one_keeps_the_slide() -> None:
    placed = regions([box(10, 10, 20, 20), box(1e8, 1e8, 2e8, 2e8)]).placed(SIZE, BOUNDS)
    assert "100 % of" in placed.warnings[0]
    assert placed.mask((80, 100), (1, 1)).sum() == 100


def test_regions_that_are_all_smaller_than_a_tile_are_a_warning() -> None:
    small = [box(10, 10, 19, 19), box(40, 40, 44, 44)]
    (warning,) = regions(small).placed(SIZE, BOUNDS, (10.0, 10.0)).warnings
    assert warning.startswith("a.geojson: every region is smaller than one tile (10 level-0 pixels); ")
    assert "micrometres" in warning
    assert len(regions(None, *small).placed(SIZE, BOUNDS, (10.0, 10.0)).warnings) == 1
    for enough in (regions([*small, box(0, 0, 5, 10)]), regions([box(0, 0, 50, 50)], *small)):
        assert enough.placed(SIZE, BOUNDS, (10.0, 10.0)).warnings == ()


@given(st.tuples(*[st.integers(-60, 140)] * 2), st.integers(5, 90), st.integers(5, 90))
def test_the_share_outside_is_that_of_the_area(corner: tuple[int, int], w: int, h: int) -> None:
    x, y = corner
    inside = max(0, min(x + w, 100) - max(x, 0)) * max(0, min(y + h, 80) - max(y, 0))
    assert regions([box(x, y, x + w, y + h)]).outside(SIZE) == pytest.approx(1 - inside / (w * h), abs=0.02)


def test_qupaths_coordinates_start_at_the_bounds() -> None:
    bounds = (30, 10, 60, 60)
    placed = regions([box(0, 0, 20, 10)], box(0, 0, 5, 5), origin="bounds").placed(SIZE, bounds)
    mask = placed.mask((80, 100), (1, 1))
    assert mask[10:20, 30:50].sum() == mask.sum() == 200 - 25
    assert "from the corner of the scanned area (30, 10)" in placed.warnings[0]
    assert np.array_equal(placed.placed(SIZE, bounds).mask((80, 100), (1, 1)), mask)  # moved once
    assert regions([box(0, 0, 20, 10)]).placed(SIZE, bounds).mask((80, 100), (1, 1))[0, 0]
