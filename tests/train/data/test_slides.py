from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_models import tiny_config
from tests.made_slides import he_pixels, write_svs, write_tiff
from tests.train.data.made import place_slide, slide_config
from wsi_embed.errors import UsageError
from wsi_embed.grid import TileGrid
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.store.layout import StoreSettings
from wsi_embed.tiling.plan import plan_slide
from wsi_embed.tiling.settings import Tiling
from wsi_embed_train import TrainConfig
from wsi_embed_train.data.slides import lay_slides


def extraction_grid(item: SlideInput, config: TrainConfig) -> TileGrid:
    """What extraction lays over a slide."""
    assert config.mpp is not None
    store = StoreSettings("model", config.tile_px, config.mpp, "float16", 8, None)
    plan = plan_slide(item, Tiling(), store)
    with plan.slide:
        return plan.make_grid(Tiling())[0]


@pytest.mark.parametrize("mpp", [0.499, 0.8, 2.0])
def test_tiles_are_extractions_region_by_region(made_slide: Path, mpp: float) -> None:
    config, items = slide_config(mpp=mpp), find_slides([made_slide])
    expected = extraction_grid(items[0], config)
    (laid,) = lay_slides(items, config)
    tiles = laid.tiles
    assert tiles is not None
    assert len(tiles) == len(expected) > 10
    assert {*map(tuple, tiles.level_xy.tolist())} == {*map(tuple, expected.level_xy.tolist())}
    assert (tiles.level, tiles.read_px, tiles.tile_px) == (expected.level, expected.read_px, 32)
    assert tiles.scale == expected.scale
    stops = [*tiles.starts[1:].tolist(), len(tiles)]
    for start, stop in zip(tiles.starts.tolist(), stops, strict=True):
        part = tiles.level_xy[start:stop]
        assert 1 <= len(part) <= 4
        assert (np.ptp(part, axis=0) <= tiles.read_px).all()
        assert {tiles.region_of(row) for row in range(start, stop)} == {tiles.starts.tolist().index(start)}


def test_a_bad_slide_stops_nothing_and_says_why_without_folders(tmp_path: Path) -> None:
    place_slide(tmp_path / "a_good.tif")
    (tmp_path / "b_empty.svs").touch()
    write_svs(tmp_path / "c_unknown.svs", he_pixels(200, 200), mpp=None, power=None)
    write_svs(tmp_path / "d_coarse.svs", he_pixels(200, 200), mpp=2.0)
    place_slide(tmp_path / "e_small.tif", 20, 20)
    write_tiff(tmp_path / "f_dark.tif", np.zeros((200, 200, 3), np.uint8))
    write_tiff(tmp_path / "g_glass.tif", np.full((400, 400, 3), 243, np.uint8))
    done: list[tuple[int, int]] = []
    laid = lay_slides(find_slides([tmp_path]), slide_config(), lambda n, of: done.append((n, of)))
    assert done == [(n, 7) for n in range(1, 8)]
    assert [s.name for s in laid if s.tiles is not None] == ["a_good.tif", "g_glass.tif"]
    reasons = {s.name[0]: s.reason for s in laid if s.tiles is None}
    assert str(tmp_path) not in "".join(reasons.values())
    assert reasons["b"] == "b_empty.svs: the file is empty (0 bytes); copy it again"
    assert "give it with a CSV with a column mpp (um per pixel of level 0)" in reasons["c"]
    assert "use `mpp=2` or more" in reasons["d"]
    assert "smaller than one tile" in reasons["e"]
    assert "`tissue='none'`" in reasons["f"]
    assert laid[6].warnings == ["g_glass.tif: no tile is taken from it, no tissue found"]
    assert laid[6].tiles is not None
    assert len(laid[6].tiles) == 0


def test_what_extraction_warns_of_is_passed_on(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", he_pixels(300, 300), mpp=None, power=20)
    (laid,) = lay_slides(find_slides([tmp_path]), slide_config())
    assert laid.warnings == ["a.svs: no mpp in the metadata; 20x taken as 0.5 um per pixel"]


def test_advice_is_what_can_be_done_in_training(tmp_path: Path) -> None:
    marked = he_pixels(400, 400)
    marked[20:60] = (20, 120, 60)
    write_svs(tmp_path / "a.svs", marked, mpp=8.0)
    (laid,) = lay_slides(find_slides([tmp_path]), slide_config(mpp=8.0))
    (warning,) = [text for text in laid.warnings if "pen marks" in text]
    assert warning.endswith("left out (`wsi-embed tile --tissue-set pen=off` cuts tiles with them)")


def test_resolution_of_a_manifest_counts(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", he_pixels(300, 300), mpp=None, power=None)
    (laid,) = lay_slides([SlideInput("a", path, "a.svs", mpp=0.25)], slide_config())
    assert laid.tiles is not None
    assert laid.tiles.read_px == 64


def test_settings_of_the_tissue_count(made_slide: Path) -> None:
    def count(**settings: object) -> int:
        (laid,) = lay_slides(find_slides([made_slide]), slide_config(**settings))
        assert laid.tiles is not None
        return len(laid.tiles)

    everything = (1100 // 32) * (900 // 32)
    assert count(tissue="none") == everything
    assert count(min_tissue=0.9) < count() < count(min_tissue=0.0) < everything


def test_slides_need_a_resolution(made_slide: Path) -> None:
    with pytest.raises(UsageError, match="give `mpp=`"):
        lay_slides(find_slides([made_slide]), tiny_config())
    assert lay_slides([], tiny_config()) == []


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    for number in range(20):
        place_slide(tmp_path / f"{number}.tif", 64, 64)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lay_slides(find_slides([tmp_path]), slide_config(tissue="none"), interrupt)
