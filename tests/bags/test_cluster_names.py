from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bags.test_cluster_head import make_head
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed import embed
from wsi_embed.bags.cluster_head import DOCUMENT, ClusterHead
from wsi_embed.bags.cluster_names import LONGEST, ClusterNames
from wsi_embed.convert import convert
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.clusters import evaluate_clusters
from wsi_embed.plot.colours import cluster_colour
from wsi_embed.plot.legend import slide_entries
from wsi_embed.plot.qupath import bag_features
from wsi_embed.store import Store, open_store

NAMES = ClusterNames({0: "stroma", 2: "tumour", 3: "stroma"}, {2: (200, 0, 10), 3: (1, 2, 3)})
DOCUMENTED = {
    "names": {"0": "stroma", "2": "tumour", "3": "stroma"},
    "colours": {"2": "#c8000a", "3": "#010203"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    slide = write_tiff(folder / "a.tif", he_pixels(320, 240, seed=3), mpp=0.5)
    embed(slide, folder / "feats.zarr", model=make_model(folder), min_tissue=0.1)
    return folder / "feats.zarr"


def named(store: Path, **document: Any) -> Store:
    """Open a store with names of the clusters of its model."""
    path = store.parent / "names.json"
    path.write_text(json.dumps(document or DOCUMENTED))
    return open_store(store, clusters=path)


def test_clusters_of_one_name_have_one_colour() -> None:
    assert [NAMES[c] for c in range(4)] == ["stroma", "cluster 1", "tumour", "stroma"]
    assert [NAMES.first(c) for c in range(4)] == [0, 1, 2, 0]
    assert [NAMES.colour(c) for c in range(4)] == [(1, 2, 3), None, (200, 0, 10), (1, 2, 3)]
    assert cluster_colour(0, NAMES) == cluster_colour(3, NAMES) == (1, 2, 3)
    assert cluster_colour(1, NAMES) == cluster_colour(1)
    without = ClusterNames({1: "fat", 5: "fat"})
    assert cluster_colour(5, without) == cluster_colour(1)


def test_document_and_back() -> None:
    assert NAMES.to_dict() == DOCUMENTED
    assert ClusterNames.from_dict(DOCUMENTED, 4, Path("x")) == NAMES
    assert ClusterNames.from_dict({"clusters": 4}, 4, Path("x")).to_dict() == {}


def test_names_in_a_folder_of_clusters_survive_and_do_not_change_assignments(tmp_path: Path) -> None:
    head = make_head(4)
    head.save(tmp_path)
    document = json.loads((tmp_path / DOCUMENT).read_text())
    (tmp_path / DOCUMENT).write_text(json.dumps(document | DOCUMENTED))
    read = ClusterHead.load(tmp_path)
    assert (read.names, read.digest, read.about) == (NAMES, head.digest, head.about)
    read.save(tmp_path)
    assert ClusterHead.load(tmp_path).names == NAMES
    with pytest.raises(UsageError, match="holds other clusters, to which names or colours have been given"):
        make_head(4, seed=9).save(tmp_path)


def test_the_same_clusters_again_keep_the_names_in_the_folder(tmp_path: Path) -> None:
    make_head(4, names=NAMES).save(tmp_path)
    make_head(4).save(tmp_path)
    assert ClusterHead.load(tmp_path).names == NAMES
    other = ClusterNames({1: "fat"})
    make_head(4, names=other).save(tmp_path)
    assert ClusterHead.load(tmp_path).names == other


def test_names_under_a_wrong_key_are_not_overwritten(tmp_path: Path) -> None:
    make_head(4).save(tmp_path)
    document = json.loads((tmp_path / DOCUMENT).read_text()) | {"Names": {"0": "fat"}}
    (tmp_path / DOCUMENT).write_text(json.dumps(document))
    with pytest.raises(UsageError, match="there is no key 'Names'; write 'names'"):
        make_head(4).save(tmp_path)
    with pytest.raises(UsageError, match="holds other clusters"):
        make_head(4, seed=9).save(tmp_path)
    assert json.loads((tmp_path / DOCUMENT).read_text()) == document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"names": {"4": "fat"}}, "there is no cluster '4'; they are 0 to 3"),
        ({"names": {"-1": "fat"}}, "there is no cluster '-1'"),
        ({"names": {"²": "fat"}}, "there is no cluster '²'"),
        ({"names": {"0": "fat", "00": "fat"}}, "there is no cluster '00'"),
        ({"names": {"9" * 5000: "fat"}}, r"there is no cluster '9+\.\.\.9+'; they are 0 to 3$"),
        ({"names": {"0": "fat"}, "colors": {"0": "#ff0000"}}, "no key 'colors'; write 'colours'"),
        ({"color": {"0": "#ff0000"}}, "no key 'color'; write 'colours'"),
        ({"colour": {"0": "#ff0000"}}, "no key 'colour'; write 'colours'"),
        ({"name": ["fat"]}, "no key 'name'; write 'names'"),
        ({"names": {"3": "cluster 1"}}, "cluster 3 is named 'cluster 1', as another cluster is called"),
        ({"names": ["fat"]}, "'names': an object with a text for each cluster number is expected"),
        ({"names": {"0": " "}}, "' ' is no name of a cluster"),
        ({"names": {"0": 7}}, "7 is no name of a cluster"),
        ({"names": {"0": "a\nb"}}, "is no name of a cluster"),
        ({"names": {"0": "\x1b[31mred"}}, "is no name of a cluster"),
        ({"names": {"0": "x" * (LONGEST + 1)}}, "is no name of a cluster"),
        ({"colours": {"0": "red"}}, "'red' is no colour, such as '#1f77b4'"),
        ({"colours": {"0": "#12345"}}, "is no colour"),
        ({"title": "x"}, "has no 'names' and no 'colours' of clusters"),
        ({"model_id": "sha256:other", "names": {"0": "fat"}}, "names the clusters of sha256:other"),
    ],
)
def test_wrong_names_are_refused(document: dict[str, Any], message: str, store: Path) -> None:
    with pytest.raises(UsageError, match=message):
        named(store, **document)


def test_a_cluster_may_be_named_by_a_number_that_no_other_one_has(store: Path) -> None:
    given = {"1": "cluster 1", "2": "cluster 3", "3": "cluster 9"}
    assert named(store, names=given).cluster_names.to_dict() == {"names": given}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not JSON"),
        ('{\n  "names": {', "line 2: not JSON"),
        ("[]", "a JSON object is expected"),
        ("[" * 100_000, "nested too deeply"),
        ('{"names": ' + "9" * 5000 + "}", r"not JSON \(Exceeds the limit"),
        ('{"names": {"0": "fat", "0": "stroma"}}', "the key '0' is given twice"),
        ('{"names": {}, "names": {"0": "fat"}}', "the key 'names' is given twice"),
    ],
)
def test_files_that_hold_no_names_are_refused(text: str, message: str, store: Path) -> None:
    (store.parent / "names.json").write_text(text)
    with pytest.raises(UsageError, match=rf"names\.json[:,] {message}") as error:
        open_store(store, clusters=store.parent / "names.json")
    assert len(str(error.value).splitlines()) == 1


def test_a_byte_order_mark_is_accepted(store: Path) -> None:
    path = store.parent / "marked.json"
    path.write_text(json.dumps(DOCUMENTED), "utf-8-sig")
    assert open_store(store, clusters=path).cluster_names == NAMES


@pytest.mark.parametrize("name", ["pipe", "pipe.json", "clusters.json", "model.pt"])
def test_what_is_neither_folder_nor_json_file_is_refused(name: str, store: Path, tmp_path: Path) -> None:
    if name == "model.pt":
        (tmp_path / name).write_bytes(b"PK")
    else:
        os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=f"{name}: neither a folder of clusters nor a JSON file"):
        open_store(store, clusters=tmp_path / name)


def test_names_beside_centroids_are_sent_to_their_document(store: Path, tmp_path: Path) -> None:
    make_head(4).save(tmp_path)
    (tmp_path / "names.json").write_text(json.dumps(DOCUMENTED))
    with pytest.raises(UsageError, match=r"names\.json: .*write the names into clusters\.json"):
        open_store(store, clusters=tmp_path / "names.json")


def test_legend_joins_clusters_of_one_name() -> None:
    entries = slide_entries(Counter({0: 5, 1: 2, 2: 3, 3: 10}), {}, False, NAMES)
    assert [(e.text, e.value) for e in entries] == [
        ("stroma", "75.0 %"), ("cluster 1", "10.0 %"), ("tumour", "15.0 %"),
    ]  # fmt: skip
    assert [e.fill for e in entries] == [(1, 2, 3), cluster_colour(1), (200, 0, 10)]


def test_geojson_has_the_names_as_classes(store: Path) -> None:
    bag = named(store)["a"]
    features = [json.loads(text) for text in bag_features(bag, ["clusters", "tiles"])]
    regions = [f["properties"] for f in features if f["properties"]["objectType"] == "annotation"]
    assert bag.cluster is not None
    assert {p["classification"]["name"] for p in regions} == {NAMES[c] for c in bag.cluster[:].tolist()}
    tiles = [f["properties"] for f in features if f["properties"]["objectType"] == "tile"]
    for cluster, properties in zip(bag.cluster[:].tolist(), tiles, strict=True):
        expected = {"name": NAMES[cluster], "color": list(cluster_colour(cluster, NAMES))}
        assert properties["classification"] == expected
        assert properties["measurements"]["cluster"] == cluster


def test_tables_have_the_names(store: Path, tmp_path: Path) -> None:
    opened = named(store)
    rows = evaluate_clusters(opened).rows
    assert {row.cluster: row.name for row in rows} == {
        row.cluster: NAMES.names.get(row.cluster) for row in rows
    }
    assert any(row.name for row in rows)
    anndata = pytest.importorskip("anndata")
    convert(opened, "anndata", tmp_path / "h5ad")
    (path,) = (tmp_path / "h5ad").glob("*.h5ad")
    obs = anndata.read_h5ad(path).obs
    for number, name in zip(obs["cluster"], obs["cluster_name"], strict=True):
        assert NAMES.names.get(int(number)) == (name if isinstance(name, str) else None)
    cluster = opened["a"].cluster
    assert cluster is not None
    assert np.array_equal(obs["cluster"].astype(int), cluster[:])


def test_conversion_notices_other_names(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    convert(named(store), "anndata", tmp_path / "h5ad")
    with pytest.raises(UsageError, match="has other content"):
        convert(named(store, names={"0": "fat"}), "anndata", tmp_path / "h5ad")
    convert(named(store, names={"0": "fat"}), "anndata", tmp_path / "h5ad", overwrite=True)
