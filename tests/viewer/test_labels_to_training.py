"""From names that are given in the viewer to an evaluation and a supervised training."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import wsi_embed
from tests.job_tools import invoke
from tests.made_models import TINY_BACKBONE
from tests.viewer.conftest import Cohort
from wsi_embed.store import Store, open_named_store
from wsi_embed.viewer.app import create_app

STORE = "/api/stores/0"
WRITE = {"x-wsi-embed": "1"}


@pytest.fixture
def named(copied: Cohort) -> Store:
    """Store of the cohort with names for its two most frequent clusters, given through the viewer."""
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    bags = wsi_embed.open_store(copied.store).values()
    counts = Counter(int(c) for bag in bags if bag.cluster is not None for c in bag.cluster[:])
    for (cluster, _), name in zip(counts.most_common(2), ("stroma", "tumour"), strict=True):
        revision = client.get(f"{STORE}/clusters").json()["names"]["revision"]
        document = {"edit": "rename", "revision": revision, "clusters": [cluster], "name": name}
        assert client.post(f"{STORE}/clusters", json=document, headers=WRITE).status_code == 200
    return open_named_store(copied.store)


def cut_tiles(cohort: Cohort, store: Store) -> Path:
    """Save some tiles of each slide as images, and return their table."""
    settings = store.attrs["settings"]
    out = cohort.store.parent / "tiles"
    wsi_embed.tile(cohort.slides, out, mpp=settings["mpp"], tile_px=settings["tile_px"], max_tiles=12)
    return out / "tiles.csv"


def test_names_of_the_viewer_are_evaluated_and_learned(named: Store, copied: Cohort) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    folder = copied.store.parent
    labels, splits, run = folder / "labels.csv", folder / "splits.csv", folder / "run"
    table = cut_tiles(copied, named)
    done = invoke("view", copied.store, "--export-labels", labels, "--images", table)
    assert done.returncode == 0, done.stderr
    done = invoke("eval", "clusters", copied.store, "--tiles", labels, "--json")
    assert json.loads(done.stdout)["agreement"]["purity"] == 1
    first, *others = named
    lines = [f"{first},test", *(f"{other},train" for other in others)]
    splits.write_text("slide_id,split\n" + "\n".join(lines) + "\n")
    done = invoke("eval", "knn", "--store", copied.store, "--tiles", labels, "--splits", splits, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test_tiles"] > 0
    small = ("--tile-px", "32", "--epochs", "1", "--batch-size", "8", "--workers", "0", "--devices", "cpu")
    recipe = ("--recipe", "supervised", "--set", f"backbone={TINY_BACKBONE}")
    done = invoke("train", labels, "--out", run, *recipe, *small)
    assert done.returncode == 0, done.stderr
    with (run / "metrics.csv").open(newline="") as metrics:
        losses = [float(row["cross_entropy"]) for row in csv.DictReader(metrics)]
    assert len(losses) > 0
    assert np.isfinite(losses).all()
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["wsi_embed"]["data"]["classes"] == ["stroma", "tumour"]
