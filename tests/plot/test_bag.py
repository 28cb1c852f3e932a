"""Pictures: right colours at the right places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.plot import MARGIN, TITLE, cluster_colour, plot_bag


@given(st.integers(0, 999))
def test_colours_are_stable_and_visible(cluster: int) -> None:
    colour = cluster_colour(cluster)
    assert colour == cluster_colour(cluster)
    assert all(0 <= c <= 255 for c in colour)
    assert min(colour) < 200  # never close to white


def test_the_first_clusters_are_far_apart() -> None:
    colours = np.array([cluster_colour(c) for c in range(20)], float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(20)
    assert distance.min() > 35


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "s.tif", he_pixels(640, 480, seed=3), mpp=0.5)


def test_every_tile_is_painted_in_its_clusters_colour(slide: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["s"]
    with wsi_embed.open_slide(slide) as opened:
        picture = np.asarray(plot_bag(opened, bag, max_px=640))
    assert bag.cluster is not None
    right = MARGIN + 480 + MARGIN  # the view has the slide's own size here
    for (x, y), cluster in zip(bag.coords[:].tolist(), bag.cluster[:].tolist(), strict=True):
        assert tuple(picture[TITLE + y + 16, right + x + 16]) == cluster_colour(cluster)


def test_tissue_outline_is_on_the_left_and_only_there(slide: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["s"]
    with wsi_embed.open_slide(slide) as opened:
        picture = np.asarray(plot_bag(opened, bag, max_px=640)).astype(int)
    greenish = np.abs(picture - np.array([0, 140, 70])).sum(2) < 20
    assert greenish[:, : MARGIN + 480].sum() > 300
    assert greenish[:, MARGIN + 480 : 2 * MARGIN + 960].sum() == 0


def test_a_bag_without_clusters_shows_its_tiles(slide: Path, tmp_path: Path) -> None:
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path / "m", clusters=None))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["s"]
    with wsi_embed.open_slide(slide) as opened:
        assert plot_bag(opened, bag, max_px=300).width > 2 * 225


def test_an_empty_bag_can_be_drawn(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "glass.tif", np.full((300, 300, 3), 244, np.uint8), mpp=0.5)
    wsi_embed.embed(path, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["glass"]
    with wsi_embed.open_slide(path) as opened:
        assert plot_bag(opened, bag, max_px=200).height >= 200
