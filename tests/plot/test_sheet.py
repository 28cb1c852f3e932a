"""Contact sheets: tiles are the pixels that were encoded, at their clusters' rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_models import tiny_features
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.plot import cluster_colour, contact_sheet
from wsi_embed.plot.sheet import GAP, LABEL, ROWS_A_PAGE, STYLE, TILE, read_bag_tiles
from wsi_embed.plot.typical_tiles import find_typical
from wsi_embed.store import StoreSettings
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling


def raising(slide_id: str, error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("mpp", "levels", "overlap"), [(0.5, (1, 2, 4), 0), (0.243, (1, 2, 4), 8), (0.13, (1, 3), 0)]
)
def test_tiles_are_bit_for_bit_those_that_were_encoded(
    mpp: float, levels: tuple[int, ...], overlap: int, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "s.tif", he_pixels(731, 643, seed=3), mpp=mpp, levels=levels)
    out = tmp_path / "f.zarr"
    wsi_embed.embed(path, out, model=make_model(tmp_path / "m"), overlap=overlap, dtype="float32")
    bag = wsi_embed.open_store(out)["s"]
    rows = list(range(len(bag) - 1, -1, -2))
    with wsi_embed.open_slide(path) as slide:
        tiles = read_bag_tiles(slide, bag, rows)
    # the job's own grid
    settings = StoreSettings(**wsi_embed.open_store(out).attrs["settings"])
    tiling = Tiling(overlap=overlap)
    plan = plan_slide(SlideInput("s", path, "s.tif"), tiling, settings)
    with plan.slide as slide:
        expected = dict(slide.read_tiles(plan.make_grid(tiling)[0]))
    assert sorted(tiles) == sorted(rows)
    for row, tile in tiles.items():
        np.testing.assert_array_equal(tile, expected[row])
    # and what the model said of them
    features = tiny_features(np.stack([tiles[row] for row in rows]))
    np.testing.assert_array_equal(features, np.stack([bag.features[row] for row in rows]))


@pytest.fixture
def slides(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "s").mkdir()
    return {
        name: write_tiff(tmp_path / "s" / f"{name}.tif", he_pixels(500, 500, seed=seed), mpp=0.5)
        for seed, name in enumerate(("a", "b", "c"))
    }


def test_a_row_shows_its_clusters_colour_and_tiles(slides: dict[str, Path], tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", tile_px=TILE // 7, clusters=3)
    wsi_embed.embed(tmp_path / "s", tmp_path / "f.zarr", model=model)
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    pages = list(contact_sheet(store, set(slides), lambda i: wsi_embed.open_slide(slides[i]), raising))
    assert [name for name, _ in pages] == ["clusters"]
    picture = np.asarray(pages[0][1])
    clusters, _ = find_typical(store, set(slides), 8, raising)
    top = 2 * STYLE.margin + STYLE.title
    for index, cluster in enumerate(clusters):
        y = top + index * (TILE + GAP)
        assert tuple(picture[y + 5, STYLE.margin + 5]) == cluster_colour(cluster.number)
        for column, typical in enumerate(cluster.typical):
            x = STYLE.margin + LABEL + column * (TILE + GAP)
            with wsi_embed.open_slide(slides[typical.slide_id]) as slide:
                tile = read_bag_tiles(slide, store[typical.slide_id], [typical.row])[typical.row]
            shown = picture[y : y + TILE, x : x + TILE].astype(float)
            blocks = shown.reshape(32, 7, 32, 7, 3).mean((1, 3))
            assert np.abs(blocks - tile).mean() < 8


def test_many_clusters_take_several_pages(slides: dict[str, Path], tmp_path: Path) -> None:
    model = make_model(tmp_path / "m", tile_px=16, clusters=60)
    wsi_embed.embed(tmp_path / "s", tmp_path / "f.zarr", model=model)
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    pages = list(contact_sheet(store, {"b"}, lambda i: wsi_embed.open_slide(slides[i]), raising))
    used = {c for bag in store.values() if bag.cluster is not None for c in bag.cluster[:].tolist()}
    assert len(used) > ROWS_A_PAGE
    assert [name for name, _ in pages] == [f"clusters-{n + 1}" for n in range(-(-len(used) // ROWS_A_PAGE))]
    assert max(page.height for _, page in pages) < 3508  # A4 at 300 pixels per inch
    assert max(page.width for _, page in pages) < 2480


def test_the_same_sheet_twice(slides: dict[str, Path], tmp_path: Path) -> None:
    wsi_embed.embed(tmp_path / "s", tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    one, two = (
        [
            np.asarray(p)
            for _, p in contact_sheet(store, set(slides), lambda i: wsi_embed.open_slide(slides[i]), raising)
        ]
        for _ in range(2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_slide_that_cannot_be_read_leaves_grey_tiles(slides: dict[str, Path], tmp_path: Path) -> None:
    wsi_embed.embed(tmp_path / "s", tmp_path / "f.zarr", model=make_model(tmp_path / "m", clusters=1))
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    slides["b"].unlink()
    failed = []
    pages = list(
        contact_sheet(
            store, set(slides), lambda i: wsi_embed.open_slide(slides[i]), lambda *e: failed.append(e[0])
        )
    )
    assert failed == ["b"]
    assert ((np.asarray(pages[0][1]) == 235).all(2)).sum() >= TILE**2
