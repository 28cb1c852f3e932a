"""JPEG 2000: OpenSlide decodes each tile once, and nothing of that shows in the pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.made_formats.dicom import write_dicom
from tests.made_formats.tiffs import write_aperio, write_generic
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.slide import Slide, open_slide
from wsi_embed.slide.openslide.level import OpenSlideLevel
from wsi_embed.slide.stream import TileStream

PIXELS = he_pixels(600, 700, seed=5)  # 3 x 3 tiles of 256; both sides divide by 4
KINDS: dict[str, Callable[[Path], Path]] = {
    "aperio RGB": lambda folder: write_aperio(folder / "a.svs", PIXELS, "jpeg 2000 RGB"),
    "aperio YCbCr": lambda folder: write_aperio(folder / "a.svs", PIXELS, "jpeg 2000 YCbCr"),
    "dicom": lambda folder: write_dicom(folder / "a", PIXELS, "jpeg 2000")[0],
    "dicom sparse": lambda folder: write_dicom(
        folder / "a", PIXELS, "jpeg 2000", tiling="TILED_SPARSE", missing=[4], factors=(1,)
    )[0],
}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count how often OpenSlide decodes each tile for a stream."""
    counts, original = Counter[int](), OpenSlideLevel.decode

    def counted(self: OpenSlideLevel, tile: int, out: UInt8Array) -> None:
        counts[tile] += 1
        original(self, tile, out)

    monkeypatch.setattr(OpenSlideLevel, "decode", counted)
    return counts


def grid_of(slide: Slide, level: int, read_px: int, tile_px: int) -> TileGrid:
    plan = ReadPlan(level, read_px, tile_px, 1.0)
    return make_grid(plan, slide.level_scales[level], slide.level_sizes[level], slide.bounds, 0, "pad")


@pytest.mark.parametrize("name", KINDS)
def test_each_tile_is_decoded_once_and_pixels_are_those_of_plain_reads(
    name: str, decoded: Counter[int], tmp_path: Path
) -> None:
    with open_slide(KINDS[name](tmp_path)) as slide:
        assert (slide.reader, slide.reader_decides) == ("openslide", False)
        for level in range(len(slide.level_sizes)):
            decoded.clear()
            for read_px, tile_px in ((100, 100), (128, 32)):
                grid = grid_of(slide, level, read_px, tile_px)
                out = np.empty((len(grid), tile_px, tile_px, 3), np.uint8)
                with slide.stream(grid) as stream, ThreadPoolExecutor(3) as pool:
                    list(pool.map(lambda row: stream.read(row, out[row]), range(len(grid))))  # noqa: B023
                plain = TileStream(slide, grid)
                for row, found in enumerate(out):
                    expected = np.empty_like(found)
                    plain.read(row, expected)
                    assert np.array_equal(found, expected)
            assert sorted(decoded.values()) == [2] * (9 if level == 0 else 1)  # two grids


@pytest.mark.parametrize("encoding", ["deflate", "jpeg RGB"])
def test_other_tiles_are_read_as_regions(encoding: str, decoded: Counter[int], tmp_path: Path) -> None:
    with open_slide(write_generic(tmp_path / "a.tif", PIXELS, encoding), "openslide") as slide:
        assert type(slide.stream(grid_of(slide, 0, 64, 64))) is TileStream


def test_a_level_between_whose_pixels_openslide_interpolates_is_read_as_regions(tmp_path: Path) -> None:
    with open_slide(write_aperio(tmp_path / "a.svs", PIXELS[:598], "jpeg 2000 RGB")) as slide:
        kinds = [type(slide.stream(grid_of(slide, level, 64, 64))) is TileStream for level in (0, 1)]
    assert kinds == [False, True]


def test_a_damaged_tile_fails_the_rows_that_need_it(tmp_path: Path) -> None:
    path = write_aperio(tmp_path / "a.svs", PIXELS, "jpeg 2000 RGB")
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content.startswith(b"\xff\x4f\xff\x51", at)]
    content[starts[4] : starts[4] + 60] = bytes(60)
    path.write_bytes(content)
    bad = set()
    with open_slide(path) as slide:
        grid = grid_of(slide, 0, 100, 100)
        out = np.empty((100, 100, 3), np.uint8)
        with slide.stream(grid) as stream:
            for row in range(len(grid)):
                try:
                    stream.read(row, out)
                except SlideError:
                    bad.add(row)
    x, y = grid.level_xy.T  # tile 4 is the middle one
    on_it = (x < 512) & (x + 100 > 256) & (y < 512) & (y + 100 > 256)
    assert sorted(bad) == np.flatnonzero(on_it).tolist()
