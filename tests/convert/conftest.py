"""A store of real bags to convert: two resolutions, two patients, an empty slide, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed import Store

LABELS = {"a1": "tumour", "a2": "tumour", "b%202": "normal"}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Tiles of 32 px at 0.5 um; `b` is scanned at 0.25: its tiles are 64 level-0 pixels. Do not change it."""
    folder = tmp_path_factory.mktemp("convert")
    slides = folder / "slides"
    slides.mkdir()
    write_tiff(slides / "a1.tif", he_pixels(200, 260, seed=1), mpp=0.5)
    write_tiff(slides / "a2.tif", he_pixels(260, 200, seed=2), mpp=0.5)
    write_tiff(slides / "b 2.tif", he_pixels(400, 420, seed=3), mpp=0.25)
    write_tiff(slides / "empty.tif", np.full((200, 200, 3), 243, np.uint8), mpp=0.5)
    (slides / "list.csv").write_text("path,patient\na1.tif,ann\na2.tif,ann\nb 2.tif,bo/1\nempty.tif,eve\n")
    out = folder / "feats.zarr"
    report = wsi_embed.embed(slides / "list.csv", out, model=make_model(folder / "model"), overlap=8)
    assert report.count("done") == 4
    return wsi_embed.open_store(out)


@pytest.fixture(scope="session")
def labels(source: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "slides.csv"
    path.write_text("\n".join(["slide_id,label", *(f"{k},{v}" for k, v in LABELS.items())]))
    return path
