"""Answers about similar tiles, tiles of clusters, the map and names, and changes by several people."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import wsi_embed
from tests.explore.test_similar import oracle
from tests.made_slides import he_pixels, write_tiff
from tests.viewer.conftest import HOSTILE, Cohort
from tests.viewer.test_layers import unpack
from wsi_embed.bags.cluster_edits import ClusterNamesFile
from wsi_embed.bags.cluster_head import ClusterHead
from wsi_embed.plot.legend import slide_entries
from wsi_embed.plot.typical_tiles import find_typical
from wsi_embed.store import open_named_store
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.session import Session, open_session
from wsi_embed.viewer.shown_store import slide_key

WRITE = {"x-wsi-embed": "1"}
STORE = "/api/stores/0"


@pytest.fixture(scope="module")
def client(session: Session) -> TestClient:
    return TestClient(create_app(session), base_url="http://localhost")


@pytest.fixture
def changing(copied: Cohort) -> TestClient:
    return TestClient(create_app(copied.session()), base_url="http://localhost")


def get(client: TestClient, path: str) -> Any:
    """Ask until the answer is complete."""
    for _ in range(30):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        if answer.json().get("complete", True):
            return answer.json()
    raise AssertionError(path)


def change(client: TestClient, status: int = 200, **document: Any) -> Any:
    document = {"revision": names(client)["revision"], **document}
    answer = client.post(f"{STORE}/clusters", json=document, headers=WRITE)
    assert answer.status_code == status, answer.text
    return answer.json()


def names(client: TestClient) -> Any:
    return client.get(f"{STORE}/clusters").json()["names"]


def name_of(client: TestClient, cluster: int, store: int = 0) -> str:
    classes = client.get(f"/api/stores/{store}/clusters").json()["classes"]
    (found,) = (str(each["name"]) for each in classes if cluster in each["members"])
    return found


def test_similar_tiles_are_those_of_an_oracle(client: TestClient, cohort: Cohort) -> None:
    store = wsi_embed.open_store(cohort.store)
    found = get(client, f"{STORE}/similar?like=a:1&like=b:0&unlike=a:3&k=9")
    expected = oracle(store, [("a", 1), ("b", 0)], [("a", 3)], 9, None)
    assert [(t["slide_id"], t["tile"], t["key"]) for t in found["tiles"]] == [
        (name, row, slide_key(name)) for name, row, _ in expected
    ]
    assert [t["cosine"] for t in found["tiles"]] == pytest.approx([c for *_, c in expected], abs=1e-9)
    for tile in found["tiles"]:
        clusters = store[tile["slide_id"]].cluster
        assert clusters is not None
        assert tile["cluster"] == clusters[tile["tile"]]
    assert found["searched"] == sum(map(len, store.values()))
    one = get(client, f"{STORE}/similar?like=a:1&per_slide=1")["tiles"]
    assert [t["slide_id"] for t in one] == [name for name, *_ in oracle(store, [("a", 1)], [], 9, 1)]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("like=none:1", 404), ("like=a", 404), ("like=a:-1", 404), ("like=a:x", 404), ("", 422),
        ("like=a:9999", 422), ("&".join(["like=a:1"] * 51), 422),
    ],
)  # fmt: skip
def test_other_examples_are_refused(client: TestClient, query: str, status: int) -> None:
    assert client.get(f"{STORE}/similar?{query}").status_code == status


def test_sheet_has_typical_and_atypical_tiles_and_slides(client: TestClient, cohort: Cohort) -> None:
    store = wsi_embed.open_store(cohort.store)
    expected, _ = find_typical(dict(store.items()), set(store), 12, lambda *_: None, atypical=12)
    found = get(client, f"{STORE}/sheet")["clusters"]
    assert [each["cluster"] for each in found] == [cluster.number for cluster in expected]
    for each, cluster in zip(found, expected, strict=True):
        for kind, tiles in (("typical", cluster.typical), ("atypical", cluster.atypical)):
            assert [(t["slide_id"], t["tile"]) for t in each[kind]] == [(t.slide_id, t.row) for t in tiles]
        assert {s["slide_id"]: s["tiles"] for s in each["slides"]} == cluster.on_slides
        assert sum(cluster.on_slides.values()) == each["tiles"]


def test_map_has_the_tiles_with_their_clusters(client: TestClient, cohort: Cohort) -> None:
    columns, facts = unpack(client.get(f"{STORE}/map?method=pca").content)
    store = wsi_embed.open_store(cohort.store)
    assert facts["complete"] is True
    assert len(columns["points"]) == 2 * sum(map(len, store.values()))
    for number, slide in enumerate(facts["slides"]):
        of_slide = columns["slide"] == number
        clusters = np.asarray(store[slide["slide_id"]].cluster)
        assert (columns["cluster"][of_slide] == clusters[columns["tile"][of_slide]]).all()
    assert client.get(f"{STORE}/map?method=tsne").status_code == 404


def test_points_of_the_map_have_the_class_of_the_area_around_their_centre(
    client: TestClient, cohort: Cohort
) -> None:
    columns, facts = unpack(client.get(f"{STORE}/map").content)
    labels, classes = unpack(client.get(f"{STORE}/map/labels").content)
    assert (classes["complete"], classes["names"]) == (True, ["annotation", HOSTILE])
    store = wsi_embed.open_store(cohort.store)
    found = []
    for slide, tile, label in zip(columns["slide"], columns["tile"], labels["label"], strict=True):
        slide_id = facts["slides"][slide]["slide_id"]
        found.append((slide_id, int(tile), int(label)))
    for slide_id, bag in store.items():
        centres = bag.coords[:] + float(bag.attrs["extent"]) / 2
        for tile, label in ((tile, label) for name, tile, label in found if name == slide_id):
            x, y = centres[tile]
            ring = 100 < x < 400 and 100 < y < 400 and not (200 < x < 300 and 200 < y < 300)
            triangle = 500 < y < x < 600
            assert label == ((1 if ring else 0 if triangle else -1) if slide_id == "a" else -1)
    assert {label for *_, label in found} >= {-1, 1}


def test_a_name_is_shown_by_the_legend_and_by_plot(changing: TestClient, copied: Cohort) -> None:
    assert names(changing) == {
        "revision": names(changing)["revision"], "can_undo": False, "can_redo": False,
        "file": "feats-clusters.json",
    }  # fmt: skip
    change(changing, edit="rename", clusters=[0, 2], name=HOSTILE)
    answer = change(changing, edit="recolour", clusters=[0], colour="#c8000a")
    assert (answer["names"]["can_undo"], answer["names"]["can_redo"]) == (True, False)
    assert next(c for c in answer["classes"] if c["cluster"] == 0) | {"tiles": 0} == {
        "cluster": 0, "members": [0, 2], "name": HOSTILE, "named": True, "colour": "#c8000a", "tiles": 0,
    }  # fmt: skip
    store = open_named_store(copied.store)

    entries = slide_entries(Counter({0: 1, 2: 1}), {}, False, store.cluster_names)
    assert [(e.text, e.fill) for e in entries] == [(HOSTILE, (200, 0, 10))]
    change(changing, edit="undo")
    change(changing, edit="undo")
    assert not open_named_store(copied.store).cluster_names
    change(changing, edit="redo")
    change(changing, edit="merge", clusters=[1, 2], name="all")
    assert open_named_store(copied.store).cluster_names.names == {0: HOSTILE, 1: "all", 2: "all"}


def test_a_change_to_an_old_revision_is_refused_and_one_by_hand_is_seen(
    changing: TestClient, copied: Cohort
) -> None:
    old = names(changing)["revision"]
    change(changing, edit="rename", clusters=[0], name="stroma")
    refused = changing.post(
        f"{STORE}/clusters",
        json={"edit": "rename", "clusters": [0], "name": "fat", "revision": old},
        headers=WRITE,
    )
    assert refused.status_code == 422
    assert "changed by someone else meanwhile" in refused.json()["error"]["what"]
    path = copied.store.with_name("feats-clusters.json")
    path.write_text(json.dumps({"names": {"0": "by hand"}}))
    assert names(changing)["revision"] != old
    assert name_of(changing, 0) == "by hand"
    path.write_text("{")
    broken = changing.get(f"{STORE}/clusters")
    assert (broken.json()["names"], "not JSON" in broken.json()["problem"]["what"]) == (None, True)
    assert str(copied.store.parent) not in broken.text
    assert name_of(changing, 0) == "by hand"  # as it was read last


def test_the_revision_is_that_of_the_names_in_the_same_answer(changing: TestClient, copied: Cohort) -> None:
    """Else a change to names that the page has never shown would be accepted."""
    store = wsi_embed.open_store(copied.store)
    file = ClusterNamesFile(store.names_path, store.clusters or 0, store.model_id)
    changing.get(f"{STORE}/clusters")
    state = file.rename([0], "of another viewer")
    answer = changing.get(f"{STORE}/clusters").json()
    assert answer["classes"][0]["name"] == "of another viewer"
    assert answer["names"]["revision"] == state.revision


def test_of_many_changes_at_once_one_is_made_and_the_others_are_refused(copied: Cohort) -> None:
    clients = [TestClient(create_app(copied.session()), base_url="http://localhost") for _ in range(2)]
    for turn in range(3):
        kinds = [{"edit": "rename", "clusters": [0], "name": f"name {turn} {n}"} for n in range(6)]
        kinds += [{"edit": "merge", "clusters": [1, 2], "name": f"merged {turn} {n}"} for n in range(6)]
        revision = names(clients[0])["revision"]

        def send(kind: dict[str, Any], revision: str = revision) -> int:
            client = clients[kind["edit"] == "merge"]
            document = {**kind, "revision": revision}
            return int(client.post(f"{STORE}/clusters", json=document, headers=WRITE).status_code)

        with ThreadPoolExecutor(len(kinds)) as pool:
            assert Counter(pool.map(send, kinds)) == {200: 1, 422: len(kinds) - 1}
        for client in clients:
            assert names(client)["revision"] != revision
            change(client, edit="undo")
            change(client, edit="redo")


def test_names_are_those_of_the_file_for_all_stores_that_share_it(copied: Cohort) -> None:
    client = TestClient(
        create_app(open_session([copied.store, copied.store], [copied.slides])), base_url="http://localhost"
    )
    change(client, edit="rename", clusters=[1], name="of both")
    assert name_of(client, 1, store=1) == "of both"
    copied.store.with_name("feats-clusters.json").unlink()
    assert (name_of(client, 1), name_of(client, 1, store=1)) == ("cluster 1", "cluster 1")
    assert client.get(f"{STORE}/clusters").json()["problem"] is None
    change(client, edit="rename", clusters=[1], name="again")
    assert name_of(client, 1) == "again"


def test_clusters_that_are_made_anew_are_not_named_as_the_old_ones(copied: Cohort) -> None:
    folder, store = copied.store.with_name("clusters"), wsi_embed.open_store(copied.store)
    rng = np.random.default_rng(0)

    def made(number: int) -> ClusterHead:
        rows = rng.standard_normal((number, 8)).astype(np.float32)
        centroids = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return ClusterHead(store.model_id, np.zeros(8, np.float32), centroids, 0.1)

    made(3).save(folder)
    client = TestClient(create_app(copied.session(clusters=folder)), base_url="http://localhost")
    assert len(client.get(f"{STORE}/clusters").json()["classes"]) == 3
    old = names(client)["revision"]
    made(5).save(folder)
    answer = client.get(f"{STORE}/clusters").json()
    assert (len(answer["classes"]), answer["names"]) == (3, None)  # those that the slides are coloured by
    assert "holds other clusters" in answer["problem"]["what"]
    document = {"edit": "rename", "clusters": [0], "name": "fat", "revision": old}
    refused = client.post(f"{STORE}/clusters", json=document, headers=WRITE)
    assert (refused.status_code, refused.json()["error"]) == (422, answer["problem"])
    assert not ClusterHead.load(folder).names


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"edit": "rename"}, {"edit": "drop", "revision": "x"}, {"edit": "rename", "revision": 3},
        {"edit": "rename", "revision": "x", "clusters": "0"},
        {"edit": "rename", "revision": "x", "clusters": [True]},
        {"edit": "rename", "revision": "x", "clusters": [0], "name": 7},
        {"edit": "recolour", "revision": "x", "clusters": [0], "colour": "red"},
    ],
)  # fmt: skip
def test_what_is_no_change_is_refused(changing: TestClient, copied: Cohort, document: Any) -> None:
    answer = changing.post(f"{STORE}/clusters", json=document, headers=WRITE)
    assert answer.status_code == 422
    assert not copied.store.with_name("feats-clusters.json").exists()


def test_results_are_those_of_slides_that_a_job_replaces_or_adds(copied: Cohort, tmp_path: Path) -> None:
    """Else the numbers of tiles would be those of other tiles, and intact slides would be called damaged."""
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    before = wsi_embed.open_store(copied.store)
    counts = [len(before["a"]), sum(map(len, before.values()))]
    assert get(client, f"{STORE}/similar?like=b:0")["searched"] == counts[1]
    get(client, f"{STORE}/sheet")
    assert unpack(client.get(f"{STORE}/map").content)[1]["complete"]
    assert len(unpack(client.get(f"{STORE}/slides/a/tiles").content)[0]["x"]) == counts[0]

    slides = tmp_path / "slides"
    slides.mkdir()
    write_tiff(slides / "a.tiff", he_pixels(400, 300, seed=8), compression="jpeg")
    write_tiff(slides / "new.tiff", he_pixels(200, 300, seed=9), compression="jpeg")
    model = copied.store.with_name("model.onnx")
    wsi_embed.embed(slides, copied.store, model=model, device="cpu", overwrite=True)
    store = wsi_embed.open_store(copied.store)
    total = sum(map(len, store.values()))
    assert len(store["a"]) < counts[0]

    columns, _ = unpack(client.get(f"{STORE}/slides/a/tiles").content)
    np.testing.assert_array_equal(columns["x"], store["a"].coords[:][:, 0])
    for example in (("new", 0), ("a", 1), ("b", 0)):
        found = get(client, f"{STORE}/similar?like={example[0]}:{example[1]}&k=9")
        assert [(t["slide_id"], t["tile"]) for t in found["tiles"]] == [
            (name, row) for name, row, _ in oracle(store, [example], [], 9, None)
        ]
        assert found["searched"] == total
    sheet = get(client, f"{STORE}/sheet")["clusters"]
    assert sum(each["tiles"] for each in sheet) == total
    for path in ("map", "map/labels"):
        for _ in range(3):
            columns, facts = unpack(client.get(f"{STORE}/{path}").content)
        assert facts["complete"]
        assert len(columns["tile" if path == "map" else "label"]) == total
    client.get(f"{STORE}/slides")
    for _ in range(50):
        answer = client.get(f"{STORE}/clusters").json()
        if answer["complete"]:
            break
        time.sleep(0.1)
    assert sum(each["tiles"] for each in answer["classes"]) == total


def test_a_damaged_slide_leaves_the_search_of_the_others(copied: Cohort) -> None:
    for path in (copied.store / "b" / "cluster" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    client = TestClient(create_app(copied.session()), base_url="http://localhost")
    tiles = get(client, f"{STORE}/similar?like=a:1&per_slide=1")["tiles"]
    assert {t["slide_id"]: t["cluster"] is None for t in tiles}["b"] is True
    error = client.get(f"{STORE}/slides/b/tiles").json()["error"]
    assert (error["where"], error["remedy"]) == ("b/cluster", "run wsi-embed verify")


def test_names_are_not_changed_by_other_pages_or_read_only(copied: Cohort) -> None:
    document = {"edit": "rename", "clusters": [0], "name": "fat", "revision": "x"}
    for session, headers in ((copied.session(), {}), (copied.session(read_only=True), WRITE)):
        client = TestClient(create_app(session), base_url="http://localhost")
        assert client.post(f"{STORE}/clusters", json=document, headers=headers).status_code == 403
        assert client.get(f"{STORE}/clusters").status_code == 200
    assert not Path(copied.store.with_name("feats-clusters.json")).exists()
