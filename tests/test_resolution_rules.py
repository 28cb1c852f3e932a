"""Geometry and resolution as the design promises them, on made and real slides, against slow oracles.

Each rule, and where it is tested (here where no module is named):

- mpp from metadata, manifest, flag, objective power, or failure with the flag that fixes it; values
  outside 0.05 to 20, x and y apart: slide/test_resolution.py one by one, here as a job records them.
- The read level, the read size, within 1 % nothing is resampled, the effective mpp: test_grid.py by
  properties; here on real pyramids.
- One antialiased area resampling; native tiles are the file's own pixels.
- A lattice of whole pixels, coordinates rounded, extent a float: test_grid.py; here on a pyramid with
  odd sizes.
- Stride and overlap, dropped and padded edges, order: test_grid.py.
- Origin at the bounds, which never shift coordinates: here; slide/test_formats.py compares features.
- Transparent is white: slide/test_openslide.py, slide/test_image.py, slide/test_formats.py.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openslide
import pytest
from PIL import Image

from tests.job_tools import make_model
from tests.made_formats.dicom import write_dicom
from tests.made_formats.mirax import write_mirax
from tests.made_formats.pixels import shrunk
from tests.made_formats.tiffs import Page, write_leica, write_ome, write_pages
from tests.made_slides import UInt8Array, he_pixels, write_svs, write_tiff
from wsi_embed import embed, open_store
from wsi_embed.errors import ResolutionError
from wsi_embed.grid import TileGrid, make_grid, plan_read
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.slide import Slide, open_slide, resolve_mpp
from wsi_embed.store.layout import StoreSettings
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling
from wsi_embed.tissue import TissueRecipe

PIXELS = he_pixels(400, 400, seed=4)
ALL = Tiling(tissue=TissueRecipe(name="none"))
REAL = ["CMU-1-Small-Region.svs", "CMU-1-Small-Region_pyramid.tif", "test3-TRITC-2-560.ndpi"]


def settings(mpp: float, tile_px: int = 64) -> StoreSettings:
    return StoreSettings("m" * 32, tile_px, mpp, "float16", feature_dim=8, clusters=None)


def grid_of(slide: Slide, mpp: float, tile_px: int, edge: Any = "drop") -> TileGrid:
    plan = plan_read(resolve_mpp(slide).mpp, slide.level_downsamples, mpp, tile_px)
    size = slide.level_sizes[plan.level]
    return make_grid(plan, slide.level_scales[plan.level], size, slide.bounds, edge=edge)


# mpp: from where


def slides_of_every_kind(folder: Path) -> Path:
    """A manifest; the column mpp is filled in for two slides."""
    write_svs(folder / "metadata.svs", PIXELS, mpp=0.5)
    write_svs(folder / "manifest.svs", PIXELS, mpp=None, power=None)
    write_svs(folder / "contradicted.svs", PIXELS, mpp=0.25)
    write_svs(folder / "power.svs", PIXELS, mpp=None, power=20)
    write_svs(folder / "absurd.svs", PIXELS, mpp=30)
    write_ome(folder / "ome.tif", PIXELS, tags=False)
    Image.fromarray(PIXELS).save(folder / "nothing.png")
    write_dicom(folder / "oblong", PIXELS, mpp=(0.5, 0.508))
    write_dicom(folder / "stretched", PIXELS, mpp=(0.5, 0.52))
    manifest = folder / "slides.csv"
    manifest.write_text(
        "path,slide_id,mpp\nmetadata.svs,,\nmanifest.svs,,0.5\ncontradicted.svs,,0.5\npower.svs,,\nabsurd.svs,,\n"
        "ome.tif,,\nnothing.png,,\noblong/1_0.dcm,oblong,\nstretched/1_0.dcm,stretched,\n"
    )
    return manifest


def test_a_job_records_each_mpp_with_its_source_and_fails_the_others_with_the_flag(tmp_path: Path) -> None:
    manifest = slides_of_every_kind(tmp_path)
    report = embed(manifest, tmp_path / "a.zarr", model=make_model(tmp_path), tissue="none")
    store = open_store(tmp_path / "a.zarr")
    found = {name: (bag.attrs["mpp"], bag.attrs["mpp_source"]) for name, bag in store.items()}
    assert found == {
        "metadata": (0.5, "openslide.mpp-x"),
        "manifest": (0.5, "manifest"),
        "contradicted": (0.5, "manifest"),
        "power": (0.5, "objective power"),
        "ome": (0.5, "OME PhysicalSizeX"),
        "oblong": (pytest.approx(0.504), "openslide.mpp-x"),
    }
    results = {s.slide_id: s for s in report.slides}
    assert {name for name, s in results.items() if s.warnings} == {"contradicted", "power"}
    assert "the metadata say 0.25" in results["contradicted"].warnings[0]
    assert "20x taken as 0.5" in results["power"].warnings[0]
    for name, why, option in (
        ("nothing", "does not say its resolution", "`mpp_default=`"),
        ("absurd", "outside 0.05 to 20", "`mpp_override=`"),
        ("stretched", "not square", "`mpp_override=`"),
    ):
        assert results[name].status == "failed"
        assert why in str(results[name].reason)
        assert option in str(results[name].reason)


def test_the_flag_mends_what_failed_and_yields_to_the_manifest(tmp_path: Path) -> None:
    manifest = slides_of_every_kind(tmp_path)
    options: dict[str, Any] = {"tissue": "none", "mpp_override": 0.45, "force": True}
    report = embed(manifest, tmp_path / "a.zarr", model=make_model(tmp_path), **options)
    assert report.exit_code == 0
    found = {name: bag.attrs["mpp"] for name, bag in open_store(tmp_path / "a.zarr").items()}
    assert found == dict.fromkeys(found, 0.45) | {"manifest": 0.5, "contradicted": 0.5}
    silent = {s.slide_id for s in report.slides if not s.warnings}
    assert silent == {"manifest", "nothing", "power"}  # their metadata say nothing to contradict


def test_a_default_is_taken_by_the_slide_that_says_nothing_and_by_no_other(tmp_path: Path) -> None:
    manifest, model = slides_of_every_kind(tmp_path), make_model(tmp_path)
    plain = {
        s.slide_id: s.mpp for s in embed(manifest, tmp_path / "a.zarr", model=model, tissue="none").slides
    }
    out = tmp_path / "b.zarr"
    report = embed(manifest, out, model=model, tissue="none", mpp_default=0.45)
    assert {s.slide_id: s.mpp for s in report.slides} == plain | {"nothing": 0.45}
    assert open_store(out)["nothing"].attrs["mpp_source"] == "--mpp-default"
    again = {s.slide_id: s.status for s in embed(manifest, out, model=model, tissue="none").slides}
    assert again["nothing"] == "failed"  # without the option nothing says its resolution
    assert again["metadata"] == "skipped"


def test_an_override_far_from_the_metadata_fails_that_slide_alone(tmp_path: Path) -> None:
    manifest = slides_of_every_kind(tmp_path)
    report = embed(
        manifest, tmp_path / "a.zarr", model=make_model(tmp_path), tissue="none", mpp_override=0.45
    )
    assert {s.slide_id for s in report.slides if s.status == "failed"} == {"absurd"}
    reason = next(str(s.reason) for s in report.slides if s.slide_id == "absurd")
    assert (
        "the metadata say 30 um per pixel, which differs from `mpp_override=0.45` by a factor of 66.7"
        in reason
    )


@pytest.mark.parametrize("override", [0.5, 0.25])
def test_pixels_that_are_not_square_contradict_any_single_number(tmp_path: Path, override: float) -> None:
    path = write_tiff(tmp_path / "a.tif", PIXELS, mpp=(0.25, 0.5), levels=(1,))
    warning = resolve_mpp(open_slide(path), override).warning
    assert warning is not None
    assert "the metadata say 0.25 x 0.5 um per pixel" in warning


# Read level and size


def slow_plan(osr: openslide.OpenSlide, target: float, tile_px: int) -> tuple[int, int, float] | None:
    """(level, n, effective mpp), read off the rules in exact arithmetic; None where all is too coarse."""
    mpp = (Fraction(osr.properties["openslide.mpp-x"]) + Fraction(osr.properties["openslide.mpp-y"])) / 2
    best = None
    for level, downsample in enumerate(osr.level_downsamples):
        level_mpp = mpp * Fraction(downsample)
        if level_mpp > Fraction(target) * Fraction(101, 100):
            continue
        ideal = tile_px * Fraction(target) / level_mpp
        n = tile_px if abs(round(ideal) - tile_px) <= tile_px * Fraction(1, 100) else round(ideal)
        best = (level, n, float(level_mpp * n / tile_px))
    return best


@pytest.mark.parametrize("target", [0.2282, 0.25, 0.4945, 0.5, 0.51, 0.98, 0.99, 1.0, 1.01, 2.0, 2.02, 7.5])
@pytest.mark.parametrize("name", REAL)
def test_real_slides_are_read_as_the_rules_say(shared_slides: Path, name: str, target: float) -> None:
    path = shared_slides / name
    with openslide.OpenSlide(path) as osr:
        expected = slow_plan(osr, target, 224)
    item = SlideInput("a", path, name)
    if expected is None:
        with pytest.raises(ResolutionError, match="wsi-embed does not upsample"):
            plan_slide(item, ALL, settings(target, 224))
        return
    plan = plan_slide(item, ALL, settings(target, 224))
    with plan.slide:
        attributes = plan.attributes(grid_of(plan.slide, target, 224), ALL, {})
    assert (plan.read.level, plan.read.read_px) == expected[:2]
    assert attributes["effective_mpp"] == pytest.approx(expected[2], rel=1e-12)
    assert attributes["resampled"] == (expected[1] != 224)
    assert attributes["extent"] == plan.read.read_px * plan.slide.level_downsamples[plan.read.level]


# Pixels of tiles


def test_native_tiles_of_a_real_slide_are_the_files_own_pixels(shared_slides: Path) -> None:
    path = shared_slides / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide, openslide.OpenSlide(path) as osr:
        grid = grid_of(slide, 0.5, 224)
        assert grid.read_px == 224
        for row, tile in slide.read_tiles(grid.rows(40, 60)):
            plain = osr.read_region(tuple(grid.coords[40 + row].tolist()), 0, (224, 224))
            assert np.array_equal(tile, np.asarray(plain.convert("RGB")))


def area_average(pixels: UInt8Array, side: int) -> npt.NDArray[np.float64]:
    """What each of `side` x `side` pixels covers, weighted by area."""
    n = pixels.shape[0]
    weights = np.zeros((side, n))
    for i in range(side):
        for j in range(n):
            weights[i, j] = max(0.0, min((i + 1) * n / side, j + 1) - max(i * n / side, j)) * side / n
    rows = np.tensordot(weights, pixels.astype(float), axes=(1, 0))
    return np.asarray(np.tensordot(rows, weights, axes=(1, 1)).transpose(0, 2, 1))


@pytest.mark.parametrize(("name", "target"), [(REAL[0], 0.7), (REAL[1], 1.3), (REAL[2], 0.5)])
def test_resampled_tiles_of_real_slides_are_area_averages(
    shared_slides: Path, name: str, target: float
) -> None:
    with open_slide(shared_slides / name) as slide:
        grid = grid_of(slide, target, 96)
        middle = grid.rows(len(grid) // 2, len(grid) // 2 + 2)
        for row, tile in slide.read_tiles(middle):
            x, y = middle.level_xy[row].tolist()
            plain = slide.read(grid.level, x, y, grid.read_px, grid.read_px)
            assert np.abs(tile - area_average(plain, 96)).max() <= 0.51


def test_resampling_does_not_alias(tmp_path: Path) -> None:
    board = np.indices((400, 400)).sum(0) % 2 * 255
    pixels = np.repeat(board[..., None].astype(np.uint8), 3, axis=2)
    with open_slide(write_tiff(tmp_path / "a.tif", pixels, mpp=0.3, levels=(1,))) as slide:
        grid = grid_of(slide, 1.27, 64)
        (_, tile), *_ = slide.read_tiles(grid)
    assert np.abs(tile.astype(int) - 127.5).max() < 10


# Lattice


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[UInt8Array]]:
    """A lossless pyramid whose sizes do not divide, and its levels."""
    base = he_pixels(903, 1101, seed=2)
    levels = [base, *(np.asarray(cv2.resize(base, s), np.uint8) for s in ((550, 451), (275, 225)))]
    pages = [Page(level, reduced=i > 0, mpp=0.25 * 2**i) for i, level in enumerate(levels)]
    return write_pages(tmp_path_factory.mktemp("odd") / "odd.tif", pages), levels


@pytest.mark.parametrize(("target", "level"), [(0.5, 1), (1.0, 2)])
def test_coordinates_of_an_odd_pyramid_are_rounded_and_the_extent_is_not(
    odd: tuple[Path, list[UInt8Array]], target: float, level: int
) -> None:
    with open_slide(odd[0]) as slide:
        scale, downsample = slide.level_scales[level], slide.level_downsamples[level]
        grid = grid_of(slide, target, 64)
    assert grid.level == level
    assert downsample != round(downsample)
    (w0, h0), (w, h) = (1101, 903), odd[1][level].shape[1::-1]
    across, down = Fraction(w0, w), Fraction(h0, h)
    exact = (across + down) / 2
    assert float(exact) == pytest.approx(downsample, rel=1e-12)
    assert scale == pytest.approx((float(across), float(down)), rel=1e-12)
    for (x, y), (col, row) in zip(grid.coords.tolist(), grid.grid[:, ::-1].tolist(), strict=True):
        assert abs(x - col * 64 * across) <= Fraction(1, 2)
        assert abs(y - row * 64 * down) <= Fraction(1, 2)
    assert grid.extent == pytest.approx(float(64 * exact))
    assert grid.extent != round(grid.extent)


@pytest.mark.parametrize("level", [1, 2])
def test_pixels_of_an_odd_pyramid_are_at_most_blended_with_their_neighbours(
    odd: tuple[Path, list[UInt8Array]], level: int
) -> None:
    # OpenSlide takes level-0 positions: what is read lies up to half a level-0 pixel beside the lattice
    stored = odd[1][level]
    kernel = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(stored, kernel), cv2.dilate(stored, kernel)
    h, w = stored.shape[:2]
    with open_slide(odd[0]) as slide:
        for x, y in [(3, 5), (64, 64), (101, 77), (w - 66, h - 70), (w - 64, h - 64)]:
            found = slide.read(level, x, y, 62, 62).astype(int)[1:-1, 1:-1]
            inside = np.s_[y + 1 : y + 61, x + 1 : x + 61]
            assert (found >= low[inside].astype(int) - 2).all()
            assert (found <= high[inside].astype(int) + 2).all()


def test_pixels_at_whole_downsamples_are_exact(tmp_path: Path) -> None:
    pixels = he_pixels(904, 1104, seed=2)
    path = write_pages(tmp_path / "a.tif", [Page(shrunk(pixels, f), reduced=f > 1) for f in (1, 2, 4)])
    with open_slide(path) as slide:
        for level, factor in enumerate((1, 2, 4)):
            stored = shrunk(pixels, factor)
            for x, y in [(3, 5), (101, 77), (150, 131)]:
                assert np.array_equal(slide.read(level, x, y, 60, 60), stored[y : y + 60, x : x + 60])


# Bounds


@pytest.mark.parametrize(("target", "step"), [(0.5, 64), (1.0, 128), (2.0, 256)])
def test_the_grid_of_an_mrxs_starts_at_its_bounds_and_coordinates_count_from_level_0(
    tmp_path: Path, target: float, step: int
) -> None:
    pixels = he_pixels(768, 1024, seed=8)
    unscanned = {(r, c) for r in range(12) for c in range(16) if r < 4 or c < 4}
    truth = pixels.copy()
    truth[:256], truth[:, :256] = 255, 255
    path = write_mirax(tmp_path / "a.mrxs", pixels, missing=unscanned)
    with open_slide(path) as slide:
        assert slide.bounds == (256, 256, 768, 512)
        grid = grid_of(slide, target, 64)
        factor = step // 64
        assert grid.downsample == factor
        lattice = [
            [x, y] for y in range(256, 768 - step + 1, step) for x in range(256, 1024 - step + 1, step)
        ]
        assert grid.coords.tolist() == lattice
        for row, tile in slide.read_tiles(grid):
            x, y = lattice[row]
            assert np.array_equal(tile, shrunk(truth[y : y + step, x : x + step], factor))


def test_bounds_between_pixels_of_the_level_take_the_nearest(tmp_path: Path) -> None:
    path = write_leica(tmp_path / "a.scn", he_pixels(512, 768), offset=(102, 201), slide=(1000, 900))
    with open_slide(path) as slide:
        grid = grid_of(slide, 2.0, 32)
        assert grid.downsample == 4.0
        assert grid.coords[0].tolist() == [104, 200]
        assert (grid.coords[:, 0] + grid.extent <= 102 + 768 + 2).all()


def test_padded_tiles_beyond_the_bounds_and_the_slide_are_white_there(tmp_path: Path) -> None:
    scanned = he_pixels(512, 768)
    path = write_leica(tmp_path / "a.scn", scanned, offset=(100, 200), slide=(1000, 900))
    with open_slide(path) as slide:
        dropped, padded = grid_of(slide, 0.5, 300), grid_of(slide, 0.5, 300, "pad")
        assert len(dropped) == 2
        assert padded.coords.tolist() == [[x, y] for y in (200, 500) for x in (100, 400, 700)]
        corner = dict(slide.read_tiles(padded))[5]
    assert (corner[212:] == 255).all()  # below what was scanned
    assert (corner[:, 168:] == 255).all()
    assert np.abs(corner[:212, :168].astype(int) - scanned[300:, 600:]).mean() < 2
