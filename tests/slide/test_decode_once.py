"""Each compressed tile is decoded once, and nothing of that shows in the pixels."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import wsi_embed
from tests.job_tools import make_model
from tests.made_formats.jpeg_tiles import Kind, write_jpeg_slide
from tests.made_profiles import matrix_profile
from tests.made_slides import UInt8Array, he_pixels, write_svs
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.slide import Slide, decode_once, open_slide
from wsi_embed.slide.colour.icc import to_srgb
from wsi_embed.slide.decode_once import DecodeOnce

PIXELS = he_pixels(600, 700, seed=9)
TILE = 64


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    return write_jpeg_slide(folder / "a.tif", PIXELS, tile=TILE, factors=(1, 2), missing={0: [3, 50]})


@pytest.fixture(scope="module")
def slide(path: Path) -> Iterator[Slide]:
    with open_slide(path, "tiff") as opened:
        yield opened


@pytest.fixture(scope="module")
def theirs(path: Path) -> Iterator[Slide]:
    with open_slide(path, "openslide") as opened:
        yield opened


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts how often each compressed tile is decoded by streams."""
    counts, original = Counter[int](), DecodeOnce._decode

    def counted(self: DecodeOnce, tile: int) -> UInt8Array:
        counts[tile] += 1
        return original(self, tile)

    monkeypatch.setattr(DecodeOnce, "_decode", counted)
    return counts


def lattice(
    slide: Slide, level: int, read_px: int, tile_px: int, overlap: int = 0, edge: Any = "drop"
) -> TileGrid:
    plan = ReadPlan(level, read_px, tile_px, 1.0)
    size = slide.level_sizes[level]
    return make_grid(plan, slide.level_scales[level], size, slide.bounds, overlap, edge)


def read_all(
    slide: Slide, grid: TileGrid, threads: int = 1, order: list[int] | None = None
) -> list[UInt8Array]:
    tiles = np.zeros((len(grid), grid.tile_px, grid.tile_px, 3), np.uint8)
    with slide.stream(grid) as stream, ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda row: stream.read(row, tiles[row]), order or range(len(grid))))
    return list(tiles)


def touched(slide: Slide, grid: TileGrid) -> set[int]:
    """Numbers of the file's tiles that a grid lies on, in plain words."""
    width, height = slide.level_sizes[grid.level]
    across, found = -(-width // TILE), set()
    for x, y in grid.level_xy.tolist():
        rows = {v // TILE for v in range(y, min(y + grid.read_px, height))}
        cols = {u // TILE for u in range(x, min(x + grid.read_px, width))}
        found |= {row * across + col for row in rows for col in cols}
    return found


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    ("level", "read_px", "tile_px", "overlap", "edge"),
    [
        (0, 56, 56, 0, "drop"),
        (0, 56, 56, 40, "drop"),  # each pixel in up to nine tiles
        (0, 64, 64, 0, "pad"),
        (0, 128, 64, 0, "drop"),  # shrunk before it is kept
        (0, 112, 56, 0, "drop"),
        (0, 100, 48, 7, "pad"),
        (1, 200, 33, 0, "pad"),
        (1, 20, 20, 0, "drop"),
    ],
)
def test_every_compressed_tile_is_decoded_once_however_the_grid_lies(
    slide: Slide,
    theirs: Slide,
    decoded: Counter[int],
    level: int,
    read_px: int,
    tile_px: int,
    overlap: int,
    edge: str,
    threads: int,
) -> None:
    grid = lattice(slide, level, read_px, tile_px, overlap, edge)
    found = read_all(slide, grid, threads)
    missing = {3, 50} if level == 0 else set()
    assert decoded == dict.fromkeys(touched(slide, grid) - missing, 1)
    for tile, expected in zip(found, read_all(theirs, grid), strict=True):
        assert np.array_equal(tile, expected)


@settings(max_examples=80)
@given(data=st.data())
def test_tiles_of_any_grid_in_any_order_are_those_of_plain_reads(
    slide: Slide, theirs: Slide, data: st.DataObject
) -> None:
    level = data.draw(st.integers(0, 1))
    tile_px = data.draw(st.integers(1, 90))
    factor = data.draw(st.sampled_from([1, 1, 2, 3, 4, 8]))
    read_px = max(tile_px * factor + data.draw(st.sampled_from([0, 0, 1, 5])), 1)
    step = data.draw(st.sampled_from([1, 2, 4, 8]))
    places = st.tuples(st.integers(-60, 660), st.integers(-60, 560))
    corners = data.draw(st.lists(places, min_size=1, max_size=12, unique=True))
    xy = np.array(corners, np.int32) // step * step
    plan = ReadPlan(level, read_px, tile_px, 1.0)
    grid = TileGrid(
        plan, read_px, (float(level + 1),) * 2, np.zeros_like(xy), xy, np.ones(len(xy), np.float32)
    )
    order = data.draw(st.permutations(range(len(grid))))
    found = read_all(slide, grid, data.draw(st.sampled_from([1, 3])), list(order))
    for tile, expected in zip(found, read_all(theirs, grid), strict=True):
        assert np.array_equal(tile, expected)


@pytest.mark.parametrize(("read_px", "tile_px"), [(128, 64), (96, 24), (120, 48)])
def test_resampled_tiles_are_area_averages(slide: Slide, read_px: int, tile_px: int) -> None:
    grid = lattice(slide, 0, read_px, tile_px).rows(0, 3)
    edges = np.arange(tile_px + 1) * read_px / tile_px
    pixels = np.arange(read_px)
    weights = np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, 1)
    weights *= tile_px / read_px
    for row, tile in slide.read_tiles(grid):
        x, y = grid.level_xy[row].tolist()
        plain = slide.read(0, x, y, read_px, read_px).astype(float)
        average = np.moveaxis(weights @ np.moveaxis(plain, -1, 0) @ weights.T, 0, -1)
        assert np.abs(tile - average).max() <= 0.51


@pytest.mark.parametrize(("read_px", "overlap"), [(64, 0), (64, 32), (50, 0), (150, 0)])
def test_about_a_row_of_decoded_tiles_is_kept(slide: Slide, read_px: int, overlap: int) -> None:
    grid = lattice(slide, 0, read_px, read_px, overlap)
    stream = slide.stream(grid)
    assert isinstance(stream, DecodeOnce)
    most, out = 0, np.empty((read_px, read_px, 3), np.uint8)
    for row in range(len(grid)):
        stream.read(row, out)
        most = max(most, len(stream._kept) + len(stream._free))
    rows = -(-(read_px + overlap) // TILE)
    assert most <= 11 * rows + 3  # eleven tiles in a row
    assert not stream._kept  # in the end nothing is
    stream.close()
    assert not stream._free


def test_beyond_a_limit_tiles_are_decoded_again_and_not_kept(
    slide: Slide, theirs: Slide, decoded: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_once, "MOST_BYTES", 4 * TILE * TILE * 3)
    grid = lattice(slide, 0, 56, 56)
    found = read_all(slide, grid, 3)
    assert max(decoded.values()) > 1
    for tile, expected in zip(found, read_all(theirs, grid), strict=True):
        assert np.array_equal(tile, expected)


def test_threads_that_meet_at_a_tile_wait_for_the_one_who_decodes_it(
    slide: Slide, decoded: Counter[int]
) -> None:
    grid = lattice(slide, 0, 8, 8, 4)  # hundreds of tiles of the grid on each of the file's
    start = threading.Barrier(8)

    def read(rows: list[int]) -> None:
        out = np.empty((8, 8, 3), np.uint8)
        start.wait()
        for row in rows:
            stream.read(row, out)

    with slide.stream(grid) as stream, ThreadPoolExecutor(8) as pool:
        list(pool.map(read, [list(range(n, 2000, 8)) for n in range(8)]))
    assert set(decoded.values()) == {1}


def test_a_row_is_given_once(slide: Slide) -> None:
    out = np.empty((64, 64, 3), np.uint8)
    with slide.stream(lattice(slide, 0, 64, 64)) as stream:
        stream.read(2, out)
        with pytest.raises(ValueError, match="row 2 was read before"):
            stream.read(2, out)


def test_a_grid_without_tiles_is_fine(slide: Slide) -> None:
    assert list(slide.read_tiles(lattice(slide, 0, 64, 64).rows(0, 0))) == []


def damaged(path: Path, number: int) -> Path:
    with tifffile.TiffFile(path) as tif:
        at = tif.pages.first.dataoffsets[number]
    content = bytearray(path.read_bytes())
    content[at : at + 100] = bytes(100)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("threads", [1, 4])
def test_a_damaged_tile_is_tried_once_and_fails_the_rows_that_need_it(
    decoded: Counter[int], threads: int, tmp_path: Path
) -> None:
    path = damaged(write_jpeg_slide(tmp_path / "a.tif", PIXELS, tile=TILE, factors=(1,)), 13)
    with open_slide(path, "tiff") as slide:
        grid = lattice(slide, 0, 40, 40)
        out = np.empty((len(grid), 40, 40, 3), np.uint8)
        bad: dict[int, str] = {}

        def read(row: int) -> None:
            try:
                stream.read(row, out[row])
            except SlideError as error:
                bad[row] = str(error)

        with slide.stream(grid) as stream, ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, range(len(grid))))
        assert not stream._kept  # type: ignore[attr-defined]
    x, y = grid.level_xy.T  # tile 13 is the third of the second row
    on_it = (x < 192) & (x + 40 > 128) & (y < 128) & (y + 40 > 64)
    assert sorted(bad) == np.flatnonzero(on_it).tolist()
    assert all("tile 13: no JPEG" in message for message in bad.values())
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize(("read_px", "tile_px"), [(56, 56), (128, 64), (100, 48)])
def test_tiles_converted_to_srgb_are_decoded_once_too(
    decoded: Counter[int], read_px: int, tile_px: int, tmp_path: Path
) -> None:
    profile = matrix_profile((1.4, 2.2, 2.2))
    path = write_svs(tmp_path / "a.svs", PIXELS, compression="jpeg", profile=profile, levels=(1,))
    with open_slide(path) as plain:
        slide, record = to_srgb(plain)
        assert record["profile"]
        grid = lattice(slide, 0, read_px, tile_px, edge="pad")
        found = read_all(slide, grid, 3)
    assert set(decoded.values()) == {1}
    with open_slide(path, "openslide") as plain:
        slide, _ = to_srgb(plain)
        for tile, expected in zip(found, read_all(slide, grid), strict=True):
            assert np.array_equal(tile, expected)


# From end to end


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide whose tiles of 240 pixels lie across those of the grid."""
    folder = tmp_path_factory.mktemp("wide")
    pixels = he_pixels(500, 900, seed=1)
    return write_jpeg_slide(
        folder / "a.svs", pixels, Kind("rgb", "422", tables=True), tile=48, aperio=True, factors=(1, 4)
    )


@pytest.mark.parametrize("options", [{}, {"overlap": 20}, {"mpp": 1.0}, {"mpp": 0.7, "edge": "pad"}])
def test_embed_decodes_once_and_stores_what_openslide_would_give(
    wide: Path, decoded: Counter[int], options: dict[str, Any], tmp_path: Path
) -> None:
    model = make_model(tmp_path / "m")
    stores = {}
    for reader in ("tiff", "openslide"):
        out = tmp_path / f"{reader}.zarr"
        report = wsi_embed.embed(wide, out, model=model, reader=reader, workers=3, batch_size=7, **options)
        assert report.exit_code == 0, report.slides[0].reason
        stores[reader] = wsi_embed.open_store(out)["a"]
        assert stores[reader].attrs["reader"] == reader
    assert len(stores["tiff"]) > 30
    assert set(decoded.values()) == {1}
    for name in ("features", "coords", "grid", "cluster", "tissue_fraction"):
        ours, theirs = (getattr(stores[reader], name)[:] for reader in ("tiff", "openslide"))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_tile_decodes_once_and_writes_what_openslide_would_give(
    wide: Path, decoded: Counter[int], tmp_path: Path
) -> None:
    files = {}
    for reader in ("tiff", "openslide"):
        out = tmp_path / reader
        report = wsi_embed.tile(wide, out, tile_px=64, reader=reader, workers=3, overlap=10)
        assert report.exit_code == 0
        files[reader] = {p.relative_to(out): p.read_bytes() for p in out.rglob("*.png")}
    assert len(files["tiff"]) > 20
    assert set(decoded.values()) == {1}
    assert files["tiff"] == files["openslide"]


def test_tiles_that_cannot_be_read_are_white_and_recorded_the_same(wide: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(wide.read_bytes())
    damaged(path, 60)
    bad = {}
    for reader in ("tiff", "openslide"):
        out = tmp_path / f"{reader}.zarr"
        model = make_model(tmp_path / "m")
        wsi_embed.embed(path, out, model=model, reader=reader, on_bad_tile="white", tissue="none")
        bag = wsi_embed.open_store(out)["a"]
        bad[reader] = bag.attrs["bad_tiles"], bag.features[:].tolist()
    assert bad["tiff"][0]
    assert bad["tiff"] == bad["openslide"]


# Decoding at a part of the size


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_tiles_at_a_part_of_the_size_are_close_to_area_averages(
    slide: Slide, decoded: Counter[int], scale: int
) -> None:
    grid = lattice(slide, 0, 16 * scale, 16)
    fast = replace(grid, plan=replace(grid.plan, dct_scale=scale))
    apart = np.abs(np.array(read_all(slide, fast, 3), np.int16) - np.array(read_all(slide, grid)))
    assert 0.05 < apart.mean() < 3
    assert apart.max() < 90
    assert slide.dct_scales(0) == [8, 4, 2]


def test_what_is_left_after_that_is_resampled_by_area(slide: Slide) -> None:
    grid = lattice(slide, 0, 96, 36)
    fast = replace(grid, plan=replace(grid.plan, dct_scale=2))
    half = replace(grid, plan=replace(grid.plan, dct_scale=2, tile_px=48))
    for tile, before in zip(read_all(slide, fast), read_all(slide, half), strict=True):
        assert np.array_equal(tile, cv2.resize(before, (36, 36), interpolation=cv2.INTER_AREA))


def test_no_other_reader_pretends_that_it_could(slide: Slide, theirs: Slide) -> None:
    plan = ReadPlan(0, 64, 32, 1.0, dct_scale=2)
    grid = replace(lattice(slide, 0, 64, 32), plan=plan)
    with pytest.raises(SlideError, match="1/2 of their size, which the reader openslide cannot"):
        theirs.stream(grid)
    with pytest.raises(ValueError, match="multiples of 2"):
        slide.stream(replace(grid, level_xy=grid.level_xy + 1))
