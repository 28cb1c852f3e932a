from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.regions.oracle import fill
from wsi_embed.errors import SlideError
from wsi_embed.regions.raster import BAND, rasterise

numbers = st.integers(-6, 24) | st.floats(-6, 24, width=16)
rings = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=7)
polygons = st.lists(st.lists(rings, min_size=1, max_size=3), max_size=4)


@settings(max_examples=80)
@given(polygons, st.integers(1, 14), st.integers(1, 14), st.sampled_from([0.5, 1.0, 1.7]), st.booleans())
def test_it_fills_what_a_ray_from_each_pixel_fills(
    shapes: list[list[list[tuple[float, float]]]], h: int, w: int, scale: float, closed: bool
) -> None:
    expected, sure = fill(shapes, (h, w), (scale, 2 * scale))
    arrays = [[np.array([*ring, ring[0]] if closed else ring, float) for ring in rs] for rs in shapes]
    found = rasterise(arrays, (h, w), (scale, 2 * scale))
    assert found.dtype == np.bool_
    assert np.array_equal(found[sure], expected[sure])


def test_bands_join_without_a_seam() -> None:
    y = np.arange(0, 3 * BAND + 41, 1.0)
    ring = np.concatenate([np.stack([5 + 4 * np.sin(y / 9), y], 1), np.stack([60 + 0 * y, y], 1)[::-1]])
    found = rasterise([[ring]], (len(y), 70), (1, 1))
    centre = y[:-1] + 0.5
    left = np.interp(centre, ring[: len(y), 1], ring[: len(y), 0])
    expected = (np.arange(70)[None] + 0.5 > left[:, None]) & (np.arange(70)[None] + 0.5 < 60)
    assert np.array_equal(found[:-1], expected)
    assert not found[-1].any()


@pytest.mark.parametrize("most", [1, 50, 1000])
def test_bands_of_few_crossings_give_the_same_picture(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(0, 60, 41)
    zigzag = np.stack([x, np.where(np.arange(41) % 2, 3.0, 190.0)], 1)
    before = rasterise([[zigzag]], (200, 64), (1, 1))
    monkeypatch.setattr("wsi_embed.regions.raster.MOST_CROSSINGS", most)
    assert before.any()
    assert np.array_equal(rasterise([[zigzag]], (200, 64), (1, 1)), before)


def test_a_long_zigzag_takes_little_memory() -> None:
    """Its 100,000 edges cross every row: 128 rows at once would take a gigabyte."""
    x = np.linspace(0, 500, 100_001)
    zigzag = np.stack([x, np.where(np.arange(100_001) % 2, 3.0, 190.0)], 1)
    tracemalloc.start()
    try:
        rasterise([[zigzag]], (200, 512), (1, 1))
        assert tracemalloc.get_traced_memory()[1] < 250 * 2**20
    finally:
        tracemalloc.stop()


def test_polygons_with_many_and_with_few_crossings_are_filled_alike() -> None:
    """A zigzag with more crossings than pixels is filled in another way than the squares beside it."""
    x = np.linspace(0, 9, 62)
    zigzag = np.stack([x, np.where(np.arange(62) % 2, 1.3, 13.6)], 1)
    squares = [np.array([(a, a), (a + 3.0, a), (a + 3.0, a + 3.0), (a, a + 3.0)]) for a in (1.0, 6.0, 12.0)]
    polygons = [[squares[0]], [zigzag], [squares[1], squares[1] + 1], [squares[2]]]
    together = rasterise(polygons, (16, 16), (1, 1))
    alone = np.any([rasterise([rings], (16, 16), (1, 1)) for rings in polygons], axis=0)
    expected, sure = fill([[ring.tolist() for ring in rings] for rings in polygons], (16, 16), (1, 1))
    assert np.array_equal(together, alone)
    assert np.array_equal(together[sure], expected[sure])
    assert together[sure].any()


def test_copies_of_a_polygon_cost_no_time() -> None:
    """A file of one outline a hundred times: found by the fuzzer, 28 s instead of 0.1 s."""
    x = np.linspace(0, 400, 2001)
    zigzag = np.stack([x, np.where(np.arange(2001) % 2, 0.0, 300.0)], 1)
    once = rasterise([[zigzag]], (300, 400), (1, 1))
    began = time.process_time()
    assert np.array_equal(rasterise([[zigzag.copy()] for _ in range(1000)], (300, 400), (1, 1)), once)
    assert time.process_time() - began < 5


def test_a_ring_given_twice_is_a_hole_and_not_a_copy() -> None:
    square = np.array([(2.0, 2.0), (9.0, 2.0), (9.0, 9.0), (2.0, 9.0)])
    assert not rasterise([[square, square]], (12, 12), (1, 1)).any()
    assert rasterise([[square, square], [square]], (12, 12), (1, 1)).sum() == 49


def test_outlines_that_cross_too_many_rows_are_refused() -> None:
    x = np.linspace(0, 500, 100_001)
    zigzag = np.stack([x, np.where(np.arange(100_001) % 2, 0.0, 2000.0)], 1)
    with pytest.raises(
        SlideError, match=r"cross the 2,001 rows of their picture 200,100,000 times; simplify"
    ):
        rasterise([[zigzag]], (2001, 512), (0.999, 0.999))


def test_the_corner_moves_the_picture() -> None:
    ring = np.array([(-30, -20), (-10, -20), (-10, -5), (-30, -5)], float)
    found = rasterise([[ring]], (30, 40), (1, 1), (-35, -25))
    rows, columns = np.nonzero(found)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (5, 24, 5, 19)


@pytest.mark.parametrize("far", [1e12, 1e300])
def test_absurd_coordinates_do_no_harm(far: float) -> None:
    everything = np.array([(-far, -far), (far, -far), (far, far), (-far, far)])
    assert rasterise([[everything]], (20, 30), (4, 4)).all()
    nothing = everything + 2 * far
    assert not rasterise([[nothing]], (20, 30), (4, 4)).any()


def test_many_vertices_and_many_polygons_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    radius = 3500 + 300 * np.sin(9 * angle) + rng.random(len(angle))
    large = np.stack([4096 + radius * np.cos(angle), 4096 + radius * np.sin(angle)], 1)
    small = [large[::5000] * 0.01 + rng.uniform(0, 8000, 2) for _ in range(10_000)]
    began = time.process_time()
    filled = rasterise([[large]], (8192, 8192), (1, 1))
    assert filled.mean() == pytest.approx(np.pi * (3500**2 + 300**2 / 2) / 8192**2, rel=0.01)
    rasterise([[ring] for ring in small], (8192, 8192), (1, 1))
    assert time.process_time() - began < 12  # measured: 1.3 s; a full-size array a polygon: minutes
