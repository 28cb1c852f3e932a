"""Labels from named clusters, and the commands that take them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.evaluate.made import MadeSlide, made_store
from tests.job_tools import invoke, make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.bags.cluster_edits import ClusterNamesFile
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.clusters import evaluate_clusters
from wsi_embed.evaluate.store_labels import labels_by_table
from wsi_embed.explore.tile_labels import export_labels
from wsi_embed.store import Store, open_named_store

CLUSTERS = {"a": [0, 0, 1, 1, 2, 2, 2, 0], "b": [0, 3, 1, 3, 1, 1], "c": [2, 2, 2, 0, 1, 0, 0, 0, 3]}
NAMED = {0: "stroma", 2: "tumour, solid", 3: "stroma"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rng = np.random.default_rng(0)
    slides = {
        name: MadeSlide(rng.normal(size=(len(c), 4)).astype(np.float32), np.array(c), f"patient {name}")
        for name, c in CLUSTERS.items()
    }
    path = tmp_path_factory.mktemp("labels") / "feats.zarr"
    return name_clusters(made_store(path, slides))


def name_clusters(store: Store) -> Store:
    file = ClusterNamesFile(store.names_path, store.clusters or 0, store.model_id)
    for cluster, name in NAMED.items():
        file.rename([cluster], name)
    return open_named_store(store.where)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_each_tile_of_a_named_cluster_has_a_row(store: Store, tmp_path: Path) -> None:
    found = export_labels(store, tmp_path / "labels.csv")
    expected = [
        (name, f"patient {name}", *map(str, store[name].coords[row].tolist()), NAMED[c], str(c), "1.0000")
        for name, clusters in CLUSTERS.items()
        for row, c in enumerate(clusters)
        if c in NAMED
    ]
    assert [tuple(row.values()) for row in read(tmp_path / "labels.csv")] == expected
    assert found.tiles == dict(Counter(row[4] for row in expected).most_common())
    assert (found.slides, found.notes) == (3, ())


def test_evaluation_takes_the_table(store: Store, tmp_path: Path) -> None:
    export_labels(store, tmp_path / "labels.csv")
    labels = labels_by_table(store, tmp_path / "labels.csv")
    for name, codes in labels.codes.items():
        assert [labels.names[c] if c >= 0 else None for c in codes] == [NAMED.get(c) for c in CLUSTERS[name]]
    found = evaluate_clusters(store, labels)
    assert found.agreement is not None
    assert (found.agreement.purity, found.agreement.tiles) == (1, 17)


def test_merged_clusters_are_evaluated_as_one(store: Store) -> None:
    pytest.importorskip("sklearn")
    apart, found = evaluate_clusters(store), evaluate_clusters(store, merged=True)
    assert [(row.cluster, row.name, row.tiles) for row in found.rows] == [
        (0, "stroma", 11), (1, None, 6), (2, "tumour, solid", 6),
    ]  # fmt: skip
    assert (apart.clusters, len(apart.rows), found.clusters, found.used) == (4, 4, 3, 3)
    shares = np.array([11, 6, 6]) / 23
    assert found.entropy == pytest.approx(float(-(shares * np.log(shares)).sum() / np.log(3)))


def test_commands_take_the_names_beside_the_store_and_the_table(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    export_labels(store, tmp_path / "labels.csv")
    (tmp_path / "splits.csv").write_text("slide_id,split\na,train\nb,train\nc,test\n")
    done = invoke("eval", "clusters", store.path, "--merged", "--tiles", tmp_path / "labels.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(done.stdout)["rows"]} == {None, "stroma", "tumour, solid"}
    done = invoke(
        "eval", "knn", "--store", store.path, "--tiles", tmp_path / "labels.csv",
        "--splits", tmp_path / "splits.csv", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test_tiles"] == 8
    out = tmp_path / "geojson"
    assert invoke("plot", store.path, "--geojson", "--out", out).returncode == 0
    written = json.loads((out / "a.geojson").read_text())
    features = written["features"] if isinstance(written, dict) else written
    classes = {f["properties"]["classification"]["name"] for f in features}
    assert {"stroma", "tumour, solid", "cluster 1"} <= classes


def test_sure_tiles_only(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "a.tif", he_pixels(320, 240, seed=3), mpp=0.5)
    wsi_embed.embed(slide, tmp_path / "feats.zarr", model=make_model(tmp_path), min_tissue=0.1)
    store = name_clusters(wsi_embed.open_store(tmp_path / "feats.zarr"))
    sure = store["a"].cluster_confidence
    assert sure is not None
    least = float(np.median(sure[:]))
    export_labels(store, tmp_path / "labels.csv", min_confidence=least)
    rows = read(tmp_path / "labels.csv")
    clusters = np.asarray(store["a"].cluster)
    assert len(rows) == int(((sure[:] >= least) & np.isin(clusters, list(NAMED))).sum()) > 0


def test_training_takes_images_with_labels(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from wsi_embed_train.data.labels import class_names, tile_labels
    from wsi_embed_train.data.sources import find_source

    slide = write_tiff(tmp_path / "a.tif", he_pixels(320, 240, seed=3), mpp=0.5)
    model = make_model(tmp_path)
    wsi_embed.embed(slide, tmp_path / "feats.zarr", model=model, min_tissue=0.1)
    store = wsi_embed.open_store(tmp_path / "feats.zarr")
    settings = store.attrs["settings"]
    wsi_embed.tile(
        slide, tmp_path / "tiles", mpp=settings["mpp"], tile_px=settings["tile_px"], min_tissue=0.1
    )
    store = name_clusters(store)
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "labels.csv"
    export_labels(store, file, images=tmp_path / "tiles" / "tiles.csv")
    clusters = np.asarray(store["a"].cluster).tolist()
    expected = {
        f"../tiles/a/{x}_{y}.png": NAMED[c]
        for (x, y), c in zip(store["a"].coords[:].tolist(), clusters, strict=True)
        if c in NAMED
    }
    source = find_source(file)
    assert dict(zip(source.images, source.image_labels, strict=True)) == expected
    names = class_names(source)
    assert names == sorted(set(expected.values()))
    assert len(tile_labels(source, names, [])) == len(expected)
    done = invoke("eval", "clusters", store.path, "--tiles", file, "--json")
    assert json.loads(done.stdout)["agreement"]["purity"] == 1


def test_what_cannot_be_labelled_is_refused(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    with pytest.raises(UsageError, match=r"^feats\.zarr: no cluster has a name; name them first"):
        export_labels(wsi_embed.open_store(store.path), file)
    with pytest.raises(UsageError, match=r"labels are written as CSV; choose a name that ends in \.csv"):
        export_labels(store, tmp_path / "labels.parquet")
    with pytest.raises(UsageError, match=r"`min_confidence=2`: 0 to 1 is possible"):
        export_labels(store, file, min_confidence=2)
    (tmp_path / "tiles.csv").write_text("path,slide_id,x,y\na.png,a,7,7\n")
    with pytest.raises(UsageError, match="lists no tile of feats"):
        export_labels(store, file, images=tmp_path / "tiles.csv")
    (tmp_path / "tiles.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(UsageError, match="no column slide_id, x, y; it has path, label"):
        export_labels(store, file, images=tmp_path / "tiles.csv")
    with pytest.raises(UsageError, match="cannot be written"):
        export_labels(store, tmp_path / "missing" / "labels.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["tiles.csv"]


def test_a_damaged_slide_is_left_out(tmp_path: Path) -> None:
    made = {name: MadeSlide(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 3])) for name in "ab"}
    store = name_clusters(made_store(tmp_path / "feats.zarr", made))
    next((tmp_path / "feats.zarr" / "b" / "coords").glob("c/*/*")).unlink()
    found = export_labels(store, tmp_path / "labels.csv")
    assert (found.slides, sum(found.tiles.values())) == (1, 3)
    assert found.notes[0].startswith("left out, b")


def test_the_command_needs_no_slides(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    done = invoke("view", store.path, "--export-labels", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 tiles" in done.stdout
    assert len(read(file)) == 17
    done = invoke("view", store.path, store.path, "--export-labels", file)
    assert (done.returncode, "takes one store" in done.stderr) == (2, True)
    done = invoke("view", store.path)
    assert (done.returncode, "use --slides with the files" in done.stderr) == (2, True)
