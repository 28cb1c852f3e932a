"""What pictures need of a bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_models import tiny_features
from tests.made_profiles import matrix_profile
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.plot.bag_tiles import open_embedded


@pytest.mark.parametrize("icc", [False, True])
def test_pictures_show_the_colours_that_were_encoded(icc: bool, tmp_path: Path) -> None:
    profile = matrix_profile((1.8, 2.2, 2.6))
    path = write_tiff(tmp_path / "s.tif", he_pixels(300, 260, seed=3), mpp=0.5, profile=profile)
    model = make_model(tmp_path / "m")
    wsi_embed.embed(path, tmp_path / "f.zarr", model=model, dtype="float32", icc=icc)
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["s"]
    found = {}
    for name, opened in (("embedded", open_embedded(path, bag)), ("plain", wsi_embed.open_slide(path))):
        with opened as slide:
            tiles = dict(slide.read_tiles(bag_grid(bag)))
        found[name] = tiny_features(np.stack([tiles[row] for row in range(len(bag))]))
    np.testing.assert_array_equal(found["embedded"], bag.features[:])
    assert np.array_equal(found["embedded"], found["plain"]) is not icc
