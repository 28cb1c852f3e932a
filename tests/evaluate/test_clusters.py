"""Clusters against labels and slides: by hand, by scikit-learn, and as typed."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from sklearn import metrics
from typer.testing import CliRunner, Result

import wsi_embed
from tests.bags.test_cluster_head import make_head
from tests.evaluate.made import EXTENT, MadeSlide, annotate, made_store, region, table
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.cli import app
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.evaluate.clusters import evaluate_clusters
from wsi_embed.evaluate.store_labels import TileLabels
from wsi_embed.store import Store

CLUSTERS = {"a": [0, 0, 1, 1, 2, 2, 2, 0], "b": [0, 1, 1, 1, 1, 1], "c": [2, 2, 2, 0, 1, 0, 0, 0, 2]}


def slide(clusters: list[int]) -> MadeSlide:
    rng = np.random.default_rng(len(clusters))
    return MadeSlide(rng.normal(size=(len(clusters), 4)).astype(np.float32), np.array(clusters, np.int64))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three slides and an empty one, of a model with four clusters, of which one is not used."""
    slides = {name: slide(clusters) for name, clusters in CLUSTERS.items()}
    return made_store(tmp_path_factory.mktemp("clusters") / "f.zarr", slides | {"none": slide([])})


def test_figures_by_hand(store: Store) -> None:
    found = evaluate_clusters(store)
    every = [c for clusters in CLUSTERS.values() for c in clusters]
    shares = [every.count(c) / len(every) for c in range(3)]
    entropy = -sum(p * math.log(p) for p in shares)
    assert (found.tiles, found.slides, found.clusters, found.used) == (23, 3, 4, 3)
    assert found.entropy == pytest.approx(entropy / math.log(4))
    assert found.effective == pytest.approx(math.exp(entropy))
    histograms = [[clusters.count(c) / len(clusters) for c in range(4)] for clusters in CLUSTERS.values()]
    pairs = [(0, 1), (0, 2), (1, 2)]
    distances = [jensenshannon(histograms[i], histograms[j], base=2) for i, j in pairs]
    assert found.slide_distance == pytest.approx(np.mean(distances))
    slides = [name for name, clusters in CLUSTERS.items() for _ in clusters]
    assert found.slide_nmi == pytest.approx(metrics.normalized_mutual_info_score(slides, every))
    assert [(row.cluster, row.tiles, row.slides) for row in found.rows] == [(0, 8, 3), (1, 8, 3), (2, 7, 2)]
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    of = [histograms[0][2], histograms[2][2]]
    parts = [h / sum(of) for h in of]
    assert found.rows[2].evenness == pytest.approx(-sum(p * math.log(p) for p in parts) / math.log(3))
    assert found.agreement is None


def test_labels_by_hand(store: Store) -> None:
    """Label x where the cluster is even, but for two tiles; some tiles have none."""
    rng = np.random.default_rng(0)
    codes = {
        name: np.where(rng.random(len(c)) < 0.3, -1, np.array(c) % 2).astype(np.int16)
        for name, c in CLUSTERS.items()
    }
    codes["a"][:2] = 1
    found = evaluate_clusters(store, TileLabels("labels", ("x", "y"), codes, ("said",)))
    assert found.agreement is not None
    numbers = [
        c for name in CLUSTERS for c, code in zip(CLUSTERS[name], codes[name], strict=True) if code >= 0
    ]
    truth = [int(code) for name in CLUSTERS for code in codes[name] if code >= 0]
    assert found.agreement.tiles == len(truth)
    assert found.agreement.classes == {"x": truth.count(0), "y": truth.count(1)}
    best = {
        c: Counter(t for t, n in zip(truth, numbers, strict=True) if n == c).most_common(1)[0]
        for c in set(numbers)
    }
    assert found.agreement.purity == pytest.approx(sum(n for _, n in best.values()) / len(truth))
    assert found.agreement.largest_class == pytest.approx(max(map(truth.count, (0, 1))) / len(truth))
    assert found.agreement.nmi == pytest.approx(metrics.normalized_mutual_info_score(truth, numbers))
    assert found.agreement.ari == pytest.approx(metrics.adjusted_rand_score(truth, numbers))
    for row in found.rows:
        assert row.label == "xy"[best[row.cluster][0]]
        assert row.purity == pytest.approx(best[row.cluster][1] / numbers.count(row.cluster))
    assert found.notes == ("said",)


def test_clusters_that_are_slides_and_clusters_that_are_not(tmp_path: Path) -> None:
    apart = made_store(tmp_path / "apart.zarr", {"a": slide([0] * 8), "b": slide([1] * 8)})
    alike = made_store(tmp_path / "alike.zarr", {"a": slide([0, 1] * 4), "b": slide([0, 1] * 4)})
    far, near = evaluate_clusters(apart), evaluate_clusters(alike)
    assert [far.slide_distance, far.slide_nmi] == pytest.approx([1, 1])
    assert [near.slide_distance, near.slide_nmi] == pytest.approx([0, 0])
    assert [row.evenness for row in far.rows + near.rows] == pytest.approx([0, 0, 1, 1])


def test_one_slide_says_nothing_of_others(tmp_path: Path) -> None:
    found = evaluate_clusters(made_store(tmp_path / "f.zarr", {"a": slide([0, 1, 1])}))
    assert (found.slide_distance, found.slide_nmi, found.rows[0].evenness) == (None, None, None)


@pytest.mark.parametrize("damage", ["zarr.json", "cluster/zarr.json", "cluster/c/0"])
def test_a_damaged_slide_is_left_out_with_a_note(tmp_path: Path, damage: str) -> None:
    slides = {name: slide(clusters) for name, clusters in CLUSTERS.items()}
    store = made_store(tmp_path / "f.zarr", slides)
    (tmp_path / "f.zarr" / "b" / damage).write_bytes(b"{")
    found = evaluate_clusters(store)
    assert (found.tiles, found.slides) == (17, 2)
    assert [note.startswith("left out, b") for note in found.notes] == [True]
    for name in "ac":
        (tmp_path / "f.zarr" / name / damage).write_bytes(b"{")
    with pytest.raises(StoreError, match="left out, a"):
        evaluate_clusters(store)


def test_nothing_to_evaluate(store: Store, tmp_path: Path) -> None:
    headless = made_store(tmp_path / "h.zarr", {"a": slide([0])}, clusters=None)
    with pytest.raises(UsageError, match="the model that made it has no clusters"):
        evaluate_clusters(headless)
    with pytest.raises(UsageError, match="no slide has tiles"):
        evaluate_clusters(made_store(tmp_path / "e.zarr", {"a": slide([])}))
    for codes, words in ((-1, "no tile has a label"), (1, "all labelled tiles are 'y'")):
        labels = TileLabels("labels", ("x", "y"), {"a": np.full(8, codes, np.int16)})
        with pytest.raises(UsageError, match=words):
            evaluate_clusters(store, labels)


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", "clusters", *map(str, arguments)])


def test_as_typed(store: Store, tmp_path: Path) -> None:
    annotate(tmp_path / "a", "a", region("Tumor", (0, 0), (0, 3)))
    regions = ("--annotations", tmp_path / "a", "--classes", "Tumor=tumour", "--rest", "normal")
    done = typed(store.path, *regions, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    for words in ("3 of 4", "mean Jensen-Shannon distance", "purity", "4 tumour, 4 normal", "note: 3 slides"):
        assert words in done.output
    rows = list(csv.DictReader((tmp_path / "out" / "clusters.csv").open()))
    assert [row["tiles"] for row in rows] == ["8", "8", "7"]
    found: dict[str, Any] = json.loads((tmp_path / "out" / "clusters.json").read_text())
    assert json.loads(typed(store.path, *regions, "--json").stdout) == found


def test_labels_of_a_table(store: Store, tmp_path: Path) -> None:
    lines = [f"b,{n % 4 * EXTENT},{n // 4 * EXTENT},{c}" for n, c in enumerate("uvvvvv")]
    source = table(tmp_path / "t.csv", "slide_id,x,y,kind", *lines)
    done = typed(store.path, "--tiles", source, "--column", "kind", "--classes", "v=w,u", "--json")
    assert json.loads(done.stdout)["agreement"]["ari"] == 1.0
    assert json.loads(done.stdout)["agreement"]["classes"] == {"u": 1, "w": 5}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--slides", "x"], "--slides needs --out, where the contact sheet is written"),
        (["--annotations", "x", "--tiles", "t.csv"], "both give the labels"),
        (["--rest", "x"], "--rest is about the regions of --annotations"),
        (["--tiles", "t.csv", "--rest", "x"], "--rest is about the regions of --annotations"),
    ],
)
def test_what_is_missing_is_said(store: Store, arguments: list[str], says: str) -> None:
    done = typed(store.path, *arguments)
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)


def test_a_folder_of_clusters_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    make_head().save(tmp_path)
    before = (tmp_path / "clusters.json").read_bytes()
    error = typed(store.path, "--out", tmp_path).exception
    assert isinstance(error, UsageError)
    assert (
        "holds clusters of wsi-embed cluster, whose clusters.json would be replaced; choose another folder"
        in str(error)
    )
    assert (tmp_path / "clusters.json").read_bytes() == before


def test_a_contact_sheet(tmp_path: Path) -> None:
    slide_file = write_tiff(tmp_path / "s.tif", he_pixels(300, 260), mpp=0.5)
    wsi_embed.embed(slide_file, tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    done = typed(tmp_path / "f.zarr", "--slides", slide_file, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "clusters.csv", "clusters.json", "clusters.png",
    ]  # fmt: skip
