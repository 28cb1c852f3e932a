"""Pictures: right colours at the right places, at any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.plot import cluster_colour, plot_bag
from wsi_embed.plot.bag import bar_length
from wsi_embed.plot.colours import OUTLINE
from wsi_embed.plot.style import Style
from wsi_embed.regions import Polygon

STYLE = Style(640)
TOP = 2 * STYLE.margin + STYLE.title + STYLE.row
RIGHT = 2 * STYLE.margin + 480  # the view of the slide below has the slide's own size


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiff(tmp_path_factory.mktemp("s") / "s.tif", he_pixels(640, 480, seed=3), mpp=0.5)


@pytest.fixture(scope="module")
def store(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("f")
    wsi_embed.embed(slide, folder / "f.zarr", model=make_model(folder / "m"))
    return folder / "f.zarr"


@pytest.fixture
def bag(store: Path) -> wsi_embed.Bag:
    return wsi_embed.open_store(store)["s"]


def draw(slide: Path, bag: wsi_embed.Bag, **options: Any) -> npt.NDArray[np.uint8]:
    with wsi_embed.open_slide(slide) as opened:
        return np.asarray(plot_bag(opened, bag, **{"max_px": 640, **options}))


def test_every_tile_is_filled_with_its_clusters_colour(slide: Path, bag: wsi_embed.Bag) -> None:
    picture = draw(slide, bag)
    assert bag.cluster is not None
    for (x, y), cluster in zip(bag.coords[:].tolist(), bag.cluster[:].tolist(), strict=True):
        filled = picture[TOP + y : TOP + y + 32, RIGHT + x : RIGHT + x + 32]
        assert (filled == np.array(cluster_colour(cluster), np.uint8)).all()


def test_the_map_alone_is_the_same_map(slide: Path, bag: wsi_embed.Bag) -> None:
    both, alone = draw(slide, bag), draw(slide, bag, view="map")
    np.testing.assert_array_equal(alone[:640, :480], both[TOP : TOP + 640, RIGHT : RIGHT + 480])
    assert alone.shape[1] == 480


def test_contours_lie_over_both_views(slide: Path, bag: wsi_embed.Bag) -> None:
    square = np.array([[100.0, 100.0], [300.0, 100.0], [300.0, 400.0], [100.0, 400.0]])
    picture = draw(slide, bag, annotations=[Polygon([square], "Tumor")])
    for left in (STYLE.margin, RIGHT):
        for x, y in ((200, 100), (300, 250), (200, 400), (100, 250)):
            assert tuple(picture[TOP + y, left + x]) == (0, 0, 205)
    red = draw(slide, bag, annotations=[Polygon([square], "Tumor")], classes={"Tumor": (195, 0, 0)})
    assert tuple(red[TOP + 100, RIGHT + 200]) == (195, 0, 0)


def test_the_tissue_outline_comes_from_the_store_and_is_on_the_left_only(
    slide: Path, bag: wsi_embed.Bag, monkeypatch: pytest.MonkeyPatch
) -> None:
    green = np.array(OUTLINE, np.uint8)
    mask = np.zeros((40, 30), np.int8)
    mask[10:30, 5:25] = 1
    bag.attrs["tissue_mask_scale"] = [16, 16]
    monkeypatch.setattr(wsi_embed.Bag, "tissue_mask", mask)
    picture = draw(slide, bag)
    monkeypatch.setattr(wsi_embed.Bag, "tissue_mask", None)  # a store made before masks were kept
    without = draw(slide, bag)
    left, right = picture[TOP : TOP + 640, : RIGHT - 5], picture[TOP : TOP + 640, RIGHT : RIGHT + 480]
    assert (left == green).all(2).sum() > 1000
    assert (right == green).all(2).sum() == 0
    assert (without[TOP : TOP + 640, :RIGHT] == green).all(2).sum() == 0


def test_a_large_picture_looks_like_a_small_one(slide: Path, bag: wsi_embed.Bag) -> None:
    with wsi_embed.open_slide(slide) as opened:
        small, large = (plot_bag(opened, bag, max_px=px) for px in (1000, 3000))
    assert abs(large.width / small.width - 3) < 0.05
    shrunk = np.asarray(large.resize(small.size, Image.Resampling.BOX), float)
    assert np.abs(shrunk - np.asarray(small, float)).mean() < 10


@pytest.mark.parametrize("size", [(60, 700), (700, 60), (300, 300)])
def test_nothing_is_cut_off_whatever_the_slides_shape(size: tuple[int, int], tmp_path: Path) -> None:
    name = "a_slide_with_a_name_of_the_kind_that_biobanks_like_" + "0123456789" * 6
    path = write_tiff(tmp_path / f"{name}.tif", he_pixels(*size, seed=3), mpp=0.5)
    wsi_embed.embed(path, tmp_path / "f.zarr", model=make_model(tmp_path / "m", clusters=30), tissue="none")
    picture = draw(path, wsi_embed.open_store(tmp_path / "f.zarr")[name])
    edge = STYLE.margin // 2
    for strip in (picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:]):
        assert strip.min() == 255


def test_a_narrow_slide_has_its_scale_bar_whole(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "s.tif", he_pixels(700, 60, seed=3), mpp=0.5)
    wsi_embed.embed(path, tmp_path / "f.zarr", model=make_model(tmp_path / "m"), tissue="none")
    picture = draw(path, wsi_embed.open_store(tmp_path / "f.zarr")["s"], view="map")
    below = picture[640:]
    assert picture.shape[1] > 55
    assert below[:, -1].min() == 255
    assert (below.min(2) < 100).sum() > 50


def test_a_bag_without_clusters_shows_its_tiles(slide: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path / "m", clusters=None))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["s"]
    picture = draw(slide, bag)
    for x, y in bag.coords[:].tolist():
        assert tuple(picture[TOP + y, RIGHT + x + 16]) == OUTLINE


def test_an_empty_bag_can_be_drawn(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "glass.tif", np.full((300, 300, 3), 244, np.uint8), mpp=0.5)
    wsi_embed.embed(path, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["glass"]
    assert draw(path, bag, max_px=200).shape[0] >= 200


@pytest.mark.parametrize(
    "name", ["mpp", "level", "read_px", "stride", "level_scale", "slide_fingerprint", "n_tiles"]
)
def test_damaged_attributes_are_one_clear_error(name: str, slide: Path, store: Path) -> None:
    for value in (None, "x", float("nan")):
        damaged = wsi_embed.open_store(store)["s"]
        if value is None and name == "level_scale":
            continue  # stores of before 0.2 have none
        if value is None:
            del damaged.attrs[name]
        elif name == "slide_fingerprint":
            continue
        else:
            damaged.attrs[name] = value
        with pytest.raises(wsi_embed.StoreError, match=r"^s: .*run wsi-embed verify"):
            draw(slide, damaged)


def test_options_that_make_no_sense_are_refused(slide: Path, bag: wsi_embed.Bag) -> None:
    with pytest.raises(wsi_embed.UsageError, match="`view="):
        draw(slide, bag, view="left")
    with pytest.raises(wsi_embed.UsageError, match="`max_px="):
        draw(slide, bag, max_px=20)
    with pytest.raises(wsi_embed.UsageError, match="too large for a picture; use 20000 or less"):
        draw(slide, bag, max_px=1_000_000)


@given(st.floats(1, 1e6))
def test_scale_bars_are_round_and_fit(width: float) -> None:
    length = bar_length(width)
    assert length <= width / 4
    if width >= 4:
        assert length > width / 10.01
        assert f"{length:e}"[0] in "125"
        assert float(f"{length:e}"[:8]) in (1, 2, 5)
