"""Tests that every slide reader has to pass, for pytest, whatever the format.

Readers of other packages can run them too: docs/extending.md.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wsi_embed.grid import ReadPlan, TileGrid, make_grid
from wsi_embed.slide import READERS, Reader, Slide, UInt8Array, open_slide
from wsi_embed.slide.fingerprint import fingerprint, slide_files


class SlideConformance:
    """Tests of a reader on one slide: subclass it with the fixture `path`, and `level0` if it is known.

    Attributes:
        tolerance: Largest difference of a value from `level0`; 0 for lossless formats.
        pyramid_tolerance: Mean difference of the file's own levels from area averages, grey values.
        alone: Whether the slide is a single file; otherwise it has a folder to itself.
        reader: Name of the reader.
    """

    tolerance = 0
    pyramid_tolerance = 2.0
    alone = True
    reader: Reader = "auto"

    @pytest.fixture
    def path(self) -> Path:
        """Return the path of a slide of at least 200 x 200 pixels."""
        raise NotImplementedError

    @pytest.fixture
    def level0(self) -> UInt8Array | None:
        """Return the pixels of level 0, uint8 [h, w, 3]; None if unknown."""
        return None

    @pytest.fixture
    def slide(self, path: Path) -> Slide:
        """Open the slide."""
        return open_slide(path, self.reader)

    def copied(self, path: Path, name: str, folder: Path) -> Path:
        """Copy the slide to another name, or into a folder of another name."""
        if self.alone:
            return Path(shutil.copyfile(path, folder / f"{name}{path.suffix}"))
        return shutil.copytree(path.parent, folder / name) / path.name

    def test_the_name_of_its_reader_is_known(self, slide: Slide) -> None:
        assert slide.reader in (*READERS, "pillow")

    def test_level_sizes_shrink_as_their_downsamples_say(self, slide: Slide) -> None:
        assert len(slide.level_sizes) == len(slide.level_downsamples) >= 1
        assert slide.level_downsamples[0] == 1.0
        assert slide.level_downsamples == sorted(set(slide.level_downsamples))
        width, height = slide.level_sizes[0]
        for (w, h), downsample in zip(slide.level_sizes, slide.level_downsamples, strict=True):
            # less than a pixel of the level is lost if sizes do not divide; scanners round either way
            assert w * downsample == pytest.approx(width, abs=1.5 * downsample)
            assert h * downsample == pytest.approx(height, abs=1.5 * downsample)

    def test_bounds_lie_on_level_0(self, slide: Slide) -> None:
        x, y, w, h = slide.bounds
        assert x >= 0
        assert y >= 0
        assert w > 0
        assert h > 0
        width, height = slide.level_sizes[0]
        assert x + w <= width
        assert y + h <= height

    def test_a_read_has_the_size_that_was_asked_for_on_every_level(self, slide: Slide) -> None:
        for level in range(len(slide.level_sizes)):
            pixels = slide.read(level, 3, 5, 31, 17)
            assert pixels.shape == (17, 31, 3)
            assert pixels.dtype == np.uint8

    def test_pixels_are_those_of_the_file(self, slide: Slide, level0: UInt8Array | None) -> None:
        if level0 is None:
            pytest.skip("pixels are not known beforehand")
        width, height = slide.level_sizes[0]
        assert level0.shape == (height, width, 3)
        assert _furthest(slide.read(0, 0, 0, width, height), level0) <= self.tolerance

    def test_reading_beyond_an_edge_is_white_there_and_the_slide_elsewhere(self, slide: Slide) -> None:
        for level, (width, height) in enumerate(slide.level_sizes):
            inside = slide.read(level, 0, 0, 20, 20)
            corner = slide.read(level, -7, -11, 27, 31)
            assert (corner[:11] == 255).all()
            assert (corner[:, :7] == 255).all()
            assert np.array_equal(corner[11:, 7:], inside)
            inside = slide.read(level, width - 20, height - 20, 20, 20)
            corner = slide.read(level, width - 20, height - 20, 26, 33)
            assert (corner[20:] == 255).all()
            assert (corner[:, 20:] == 255).all()
            assert np.array_equal(corner[:20, :20], inside)

    @pytest.mark.parametrize("where", [(-500, 0), (0, -500), (10**6, 0), (0, 10**6), (-(10**9), 10**9)])
    def test_reading_wholly_outside_is_white(self, slide: Slide, where: tuple[int, int]) -> None:
        assert (slide.read(0, *where, 40, 30) == 255).all()

    def test_reading_twice_gives_the_same_array_and_not_a_shared_one(self, slide: Slide) -> None:
        first = slide.read(0, 5, 5, 40, 40)
        before = first.copy()
        first[:] = 7
        assert np.array_equal(slide.read(0, 5, 5, 40, 40), before)

    def test_adjacent_reads_tile_seamlessly(self, slide: Slide) -> None:
        width, height = slide.level_sizes[0]
        w, h = min(width, 600), min(height, 600)
        xs, ys = [0, w // 3, w // 2 + 7, w], [0, h // 4 + 1, h // 2, h]
        rows = [
            np.hstack([slide.read(0, x, y, x1 - x, y1 - y) for x, x1 in pairwise(xs)])
            for y, y1 in pairwise(ys)
        ]
        assert np.array_equal(np.vstack(rows), slide.read(0, 0, 0, w, h))

    def test_reads_from_many_threads_equal_serial_reads(self, path: Path, slide: Slide) -> None:
        rng = np.random.default_rng(0)
        places = []
        for _ in range(48):
            level = int(rng.integers(len(slide.level_sizes)))
            width, height = slide.level_sizes[level]
            places.append((level, int(rng.integers(width)), int(rng.integers(height)), 64, 48))
        with open_slide(path, self.reader) as other, ThreadPoolExecutor(8) as pool:
            parallel = list(pool.map(lambda place: other.read(*place), places))
        for place, pixels in zip(places, parallel, strict=True):
            assert np.array_equal(slide.read(*place), pixels)

    @pytest.mark.parametrize("max_px", [1, 50, 97, 200])
    def test_a_thumbnail_is_as_large_as_asked_and_keeps_the_aspect(self, slide: Slide, max_px: int) -> None:
        width, height = slide.level_sizes[0]
        h, w, channels = slide.thumbnail(max_px).shape
        assert channels == 3
        assert max(w, h) == max_px
        assert w == pytest.approx(width * max_px / max(width, height), abs=1)
        assert h == pytest.approx(height * max_px / max(width, height), abs=1)

    def test_a_thumbnail_never_enlarges(self, slide: Slide) -> None:
        width, height = slide.level_sizes[0]
        small = slide.thumbnail(10**6)
        assert small.shape == (height, width, 3)
        assert np.array_equal(small, slide.read(0, 0, 0, width, height))

    def test_a_thumbnail_is_close_to_a_plain_area_average(self, slide: Slide) -> None:
        width, height = slide.level_sizes[0]
        small = slide.thumbnail(100)
        size = (small.shape[1], small.shape[0])
        plain = cv2.resize(slide.read(0, 0, 0, width, height), size, interpolation=cv2.INTER_AREA)
        assert _apart(small, plain) < self.pyramid_tolerance

    def test_a_thumbnail_read_in_bands_is_that_of_one_read(
        self, slide: Slide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = slide.thumbnail(60)
        monkeypatch.setattr("wsi_embed.slide.overview.BAND_PIXELS", 20_000)
        bands = slide.thumbnail(60)
        assert bands.shape == whole.shape
        # shrunk twice, so softer, but nothing is moved
        assert _apart(bands, whole) < 8
        assert _apart(cv2.blur(bands, (9, 9)), cv2.blur(whole, (9, 9))) < 3

    def test_the_fingerprint_does_not_know_path_or_time(
        self, path: Path, slide: Slide, tmp_path: Path
    ) -> None:
        moved = self.copied(path, "moved", tmp_path)
        for file in slide_files(moved):
            os.utime(file, (1, 1))
        with open_slide(moved, self.reader) as other:
            assert other.fingerprint == slide.fingerprint

    def test_the_fingerprint_knows_a_changed_byte(self, path: Path, slide: Slide, tmp_path: Path) -> None:
        changed = self.copied(path, "changed", tmp_path)
        for file in slide_files(changed):
            before = file.read_bytes()
            content = bytearray(before)
            content[-1] ^= 1  # in the tail, which readers do not check before decoding
            file.write_bytes(content)
            assert fingerprint(changed) != slide.fingerprint
            file.write_bytes(before)
        assert fingerprint(changed) == slide.fingerprint

    @pytest.mark.parametrize(("read_px", "tile_px"), [(64, 64), (90, 64)])
    def test_read_tiles_gives_each_row_once_as_read_and_resized(
        self, slide: Slide, read_px: int, tile_px: int
    ) -> None:
        for level in range(len(slide.level_sizes)):
            grid = _grid(slide, level, read_px, tile_px)
            tiles = dict(_pairs(slide, grid))
            assert sorted(tiles) == list(range(len(grid)))
            for row in range(0, len(grid), 5):
                x, y = (int(v) for v in grid.level_xy[row])
                plain = slide.read(level, x, y, read_px, read_px)
                if read_px != tile_px:
                    resized = cv2.resize(plain, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
                    plain = np.asarray(resized, np.uint8)
                assert tiles[row].shape == (tile_px, tile_px, 3)
                assert tiles[row].dtype == np.uint8
                assert np.array_equal(tiles[row], plain)

    def test_a_level_that_is_not_there_is_refused(self, slide: Slide) -> None:
        for level in (-1, len(slide.level_sizes)):
            with pytest.raises(ValueError, match="no level"):
                slide.read(level, 0, 0, 10, 10)

    @pytest.mark.parametrize(("w", "h"), [(0, 5), (5, 0), (-3, 5)])
    def test_a_size_that_is_not_positive_is_refused(self, slide: Slide, w: int, h: int) -> None:
        with pytest.raises(ValueError, match="cannot read a region"):
            slide.read(0, 0, 0, w, h)

    def test_closing_twice_is_fine(self, path: Path) -> None:
        slide = open_slide(path, self.reader)
        slide.read(0, 0, 0, 8, 8)
        slide.close()
        slide.close()

    def test_it_is_a_context_manager_that_gives_itself(self, path: Path) -> None:
        opened = open_slide(path, self.reader)
        with opened as slide:
            assert slide is opened
            assert slide.path == path


def _grid(slide: Slide, level: int, read_px: int, tile_px: int) -> TileGrid:
    """Return a padded lattice of at most 12 tiles a side, so that it includes tiles beyond the edge."""
    width, height = slide.level_sizes[level]
    scale = slide.level_scales[level]
    w, h = min(width, 6 * read_px), min(height, 6 * read_px)
    bounds = (0, 0, int(w * scale[0]), int(h * scale[1]))
    plan = ReadPlan(level, read_px, tile_px, 1.0)
    return make_grid(plan, scale, (width, height), bounds, edge="pad")


def _pairs(slide: Slide, grid: TileGrid) -> list[tuple[int, UInt8Array]]:
    pairs = list(slide.read_tiles(grid))
    assert len(pairs) == len(grid)
    return pairs


def _apart(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    return float(np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).mean())


def _furthest(a: npt.ArrayLike, b: npt.ArrayLike) -> int:
    return int(np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).max())
