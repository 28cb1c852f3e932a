from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from wsi_embed.errors import ResolutionError, UsageError
from wsi_embed.grid import Edge, ReadPlan, TileGrid, make_grid, plan_read

geometry = settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much])

mpps = st.floats(0.05, 20)
targets = st.floats(0.1, 10)
tile_sizes = st.integers(16, 1024)
pyramids = st.lists(st.floats(1.01, 4.5), max_size=6).map(lambda steps: np.cumprod([1.0, *steps]).tolist())


class Area:
    """A drawn level, its bounds and a way to tile it."""

    def __init__(self, draw: st.DrawFn) -> None:
        factors = [(1.0, 1.0), (2.0, 2.0), (4.0003, 4.0), (2.0009, 2.0009), (15.97, 16.4)]
        self.scale = draw(st.sampled_from(factors))
        self.size = (draw(st.integers(1, 300)), draw(st.integers(1, 300)))
        width, height = (int(s * factor) for s, factor in zip(self.size, self.scale, strict=True))
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        whole = (0, 0, width, height)
        part = (x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))
        self.bounds = draw(st.sampled_from([whole, part]))
        tile_px = draw(st.integers(4, 64))
        self.plan = ReadPlan(0, draw(st.sampled_from([tile_px, round(tile_px * 1.6)])), tile_px, 0.5)
        self.overlap = draw(st.integers(0, tile_px - 1))

    def grid(self, edge: Edge) -> TileGrid:
        return make_grid(self.plan, self.scale, self.size, self.bounds, self.overlap, edge)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the bounds in whole pixels of the level."""
        x, y, w, h = self.bounds
        dx, dy = self.scale
        right, bottom = min(self.size[0], round((x + w) / dx)), min(self.size[1], round((y + h) / dy))
        return round(x / dx), round(y / dy), right, bottom


areas = st.composite(Area)()


@geometry
@given(mpp=mpps, downsamples=pyramids, target=targets, tile_px=tile_sizes)
def test_the_read_level_is_the_coarsest_that_is_fine_enough(
    mpp: float, downsamples: list[float], target: float, tile_px: int
) -> None:
    expected = None
    for level, downsample in enumerate(downsamples):
        if mpp * downsample <= target * 1.01:
            expected = level
    assume(expected is not None)
    assert plan_read(mpp, downsamples, target, tile_px).level == expected


@geometry
@given(mpp=mpps, downsamples=pyramids, target=targets, tile_px=tile_sizes)
def test_the_read_size_covers_a_tile_and_pixels_are_never_invented(
    mpp: float, downsamples: list[float], target: float, tile_px: int
) -> None:
    assume(mpp <= target)
    plan = plan_read(mpp, downsamples, target, tile_px)
    level_mpp = mpp * downsamples[plan.level]
    ideal = tile_px * target / level_mpp
    if abs(ideal - tile_px) <= 0.01 * tile_px - 0.5:
        assert plan.read_px == tile_px
    elif abs(ideal - tile_px) > 0.01 * tile_px + 0.5:
        assert plan.read_px == round(ideal)
    assert plan.read_px >= tile_px
    assert plan.resampled == (plan.read_px != tile_px)


@geometry
@given(mpp=mpps, downsamples=pyramids, target=targets, tile_px=tile_sizes)
def test_the_effective_mpp_is_that_of_the_pixels_and_near_the_target(
    mpp: float, downsamples: list[float], target: float, tile_px: int
) -> None:
    assume(mpp <= target * 1.005)
    plan = plan_read(mpp, downsamples, target, tile_px)
    level_mpp = mpp * downsamples[plan.level]
    assert plan.effective_mpp == pytest.approx(level_mpp * plan.read_px / tile_px)
    assert plan.effective_mpp == pytest.approx(target, rel=0.0102 + 0.5 / tile_px)


@pytest.mark.parametrize(
    ("mpp", "target", "tile_px", "read_px"),
    [
        (0.5, 0.5, 224, 224),
        (0.499, 0.5, 224, 224),
        (0.505, 0.5, 256, 256),
        (0.50499, 0.5, 60, 60),
        (0.25, 0.5, 224, 448),
        (0.4950, 0.5, 224, 224),
        (0.4925, 0.5, 224, 227),
        (0.2282, 0.5, 224, 491),
    ],
)
def test_read_sizes_of_single_level_slides(mpp: float, target: float, tile_px: int, read_px: int) -> None:
    assert plan_read(mpp, [1.0], target, tile_px).read_px == read_px


@pytest.mark.parametrize(("mpp", "level"), [(0.25, 1), (0.2524, 1), (0.2526, 0), (0.124, 1), (0.12, 1)])
def test_a_level_one_percent_too_coarse_is_still_taken(mpp: float, level: int) -> None:
    assert plan_read(mpp, [1.0, 2.0], 0.5, 224).level == level


@geometry
@given(target=targets, factor=st.floats(1.0101, 50), downsamples=pyramids)
def test_a_slide_that_is_too_coarse_is_refused(
    target: float, factor: float, downsamples: list[float]
) -> None:
    with pytest.raises(ResolutionError, match="wsi-embed does not upsample: use `mpp="):
        plan_read(target * factor, downsamples, target, 224)


@pytest.mark.parametrize("edge", ["drop", "pad"])
@geometry
@given(area=areas)
def test_tiles_are_those_that_a_plain_loop_finds(edge: Edge, area: Area) -> None:
    left, top, right, bottom = area.box
    n = area.plan.read_px
    stride = max(1, n - round(area.overlap * n / area.plan.tile_px))
    rows: list[tuple[int, int, int, int]] = []
    y, row = top, 0
    while bottom > top and right > left:
        x, col = left, 0
        while True:
            if edge == "pad" or (x + n <= right and y + n <= bottom):
                rows.append((row, col, x, y))
            if x + n >= right:
                break
            x, col = x + stride, col + 1
        if y + n >= bottom:
            break
        y, row = y + stride, row + 1
    grid = area.grid(edge)
    assert grid.stride == stride
    assert np.hstack([grid.grid, grid.level_xy]).tolist() == [list(r) for r in rows]


@geometry
@given(area=areas)
def test_dropped_edges_keep_every_tile_inside_the_bounds(area: Area) -> None:
    grid = area.grid("drop")
    left, top, right, bottom = area.box
    n = grid.read_px
    assert (grid.level_xy >= [left, top]).all()
    assert (grid.level_xy + n <= [right, bottom]).all()


@geometry
@given(area=areas)
def test_padded_edges_cover_every_pixel_of_the_bounds(area: Area) -> None:
    grid = area.grid("pad")
    left, top, right, bottom = area.box
    covered = np.zeros((bottom, right), np.bool_)
    for x, y in grid.level_xy.tolist():
        covered[y : y + grid.read_px, x : x + grid.read_px] = True
        assert x < right
        assert y < bottom
    assert covered[top:, left:].all()


@geometry
@given(area=areas, edge=st.sampled_from(["drop", "pad"]))
def test_tiles_come_row_by_row_without_duplicates(area: Area, edge: Edge) -> None:
    grid = area.grid(edge)
    places = [tuple(p) for p in grid.grid.tolist()]
    assert places == sorted(set(places))
    assert len({tuple(p) for p in grid.level_xy.tolist()}) == len(grid)


@geometry
@given(area=areas, edge=st.sampled_from(["drop", "pad"]))
def test_coordinates_are_the_lattice_times_the_downsample(area: Area, edge: Edge) -> None:
    grid = area.grid(edge)
    assert grid.coords.dtype == np.int32
    expected = [[round(x * area.scale[0]), round(y * area.scale[1])] for x, y in grid.level_xy.tolist()]
    assert grid.coords.tolist() == expected
    assert grid.extent == area.plan.read_px * sum(area.scale) / 2


@geometry
@given(area=areas)
def test_neighbours_overlap_by_what_was_asked_for(area: Area) -> None:
    grid = area.grid("pad")
    per_target_px = grid.read_px / grid.tile_px
    assert grid.read_px - grid.stride == pytest.approx(area.overlap * per_target_px, abs=1)
    step = np.diff(grid.level_xy[grid.grid[:, 0] == 0][:, 0])
    assert (step == grid.stride).all()


@geometry
@given(area=areas, cut=st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_a_subset_keeps_order_and_geometry(area: Area, cut: tuple[int, int]) -> None:
    grid = area.grid("pad")
    part = grid.rows(*cut)
    assert len(part) == len(range(len(grid))[cut[0] : cut[1]])
    assert np.array_equal(part.coords, grid.coords[cut[0] : cut[1]])
    assert part.extent == grid.extent
    odd = grid.where(grid.grid[:, 1] % 2 == 1)
    assert odd.grid.tolist() == [p for p in grid.grid.tolist() if p[1] % 2 == 1]


def test_every_tile_counts_as_tissue_until_someone_looks() -> None:
    grid = make_grid(ReadPlan(0, 10, 10, 0.5), (1.0, 1.0), (30, 30), (0, 0, 30, 30))
    assert grid.tissue_fraction.tolist() == [1.0] * 9


@pytest.mark.parametrize("size", [(9, 30), (30, 9)])
def test_an_area_smaller_than_a_tile_has_none_unless_padded(size: tuple[int, int]) -> None:
    plan = ReadPlan(0, 10, 10, 0.5)
    assert len(make_grid(plan, (1.0, 1.0), size, (0, 0, *size), edge="drop")) == 0
    assert len(make_grid(plan, (1.0, 1.0), size, (0, 0, *size), edge="pad")) == 3


@pytest.mark.parametrize("overlap", [-1, 224, 1000])
def test_an_overlap_that_leaves_no_step_is_refused(overlap: int) -> None:
    with pytest.raises(
        UsageError, match=rf"`overlap={overlap}` must be at least 0 and below the tile's 224 px"
    ):
        make_grid(ReadPlan(0, 448, 224, 0.5), (1.0, 1.0), (9000, 9000), (0, 0, 9000, 9000), overlap)


def test_large_slides_do_not_overflow() -> None:
    side = 250_000
    grid = make_grid(ReadPlan(2, 1024, 1024, 4.0), (16.0, 16.0), (side // 16,) * 2, (0, 0, side, side))
    assert grid.coords.max() == 14 * 1024 * 16
