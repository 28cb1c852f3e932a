"""The viewer on a store in object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import wsi_embed
from tests.explore.test_similar import oracle
from tests.storage.conftest import put
from tests.storage.server import Fault, Server
from wsi_embed.storage import Address
from wsi_embed.viewer.app import create_app
from wsi_embed.viewer.session import open_session

STORE = "/api/stores/0"


@pytest.fixture
def local(slides: Path, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "feats.zarr"
    wsi_embed.embed(slides, path, model=model, device="cpu")
    return path


@pytest.fixture
def remote(local: Path, bucket: Address) -> Address:
    return put(local, bucket / "feats.zarr")


@pytest.fixture
def client(remote: Address, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return TestClient(create_app(open_session([remote], [slides])), base_url="http://localhost")


def get(client: TestClient, path: str) -> Any:
    for _ in range(30):
        answer = client.get(f"{STORE}/{path}")
        assert answer.status_code == 200, answer.text
        if answer.json().get("complete", True):
            return answer.json()
    raise AssertionError(path)


def test_all_of_it_is_shown_and_names_are_in_the_current_folder(
    client: TestClient, local: Path, tmp_path: Path
) -> None:
    store = wsi_embed.open_store(local)
    assert [line["tiles"] for line in get(client, "slides")["slides"]] == [len(bag) for bag in store.values()]
    found = get(client, "similar?like=a:1&k=9")["tiles"]
    assert [(t["slide_id"], t["tile"]) for t in found] == [
        (name, row) for name, row, _ in oracle(store, [("a", 1)], [], 9, None)
    ]
    for path in (
        "slides/a/tiles",
        "slides/a/tissue",
        "slides/a/tiles/0.jpg",
        "slides/a/thumbnail.jpg",
        "map",
    ):
        assert client.get(f"{STORE}/{path}").status_code == 200
    revision = get(client, "clusters")["names"]["revision"]
    document = {"edit": "rename", "clusters": [0], "name": "stroma", "revision": revision}
    answer = client.post(f"{STORE}/clusters", json=document, headers={"x-wsi-embed": "1"})
    assert answer.json()["classes"][0]["name"] == "stroma"
    assert (tmp_path / "here" / "feats-clusters.json").is_file()


def test_a_slide_that_is_replaced_is_read_anew(
    client: TestClient, local: Path, remote: Address, slides: Path, model: Path
) -> None:
    before = len(wsi_embed.open_store(local)["a"])
    assert get(client, "similar?like=a:1")["searched"] > before
    wsi_embed.embed(
        slides / "a.tif", local, model=model, device="cpu", overwrite=True, min_tissue=0, tissue="none"
    )
    store = wsi_embed.open_store(local)
    assert len(store["a"]) != before
    put(local / "a", remote / "a")
    assert get(client, "slides/a")["tiles"] == len(store["a"])
    assert get(client, "similar?like=a:0")["searched"] == sum(map(len, store.values()))


def test_a_server_that_fails_is_an_error(client: TestClient, server: Server, remote: Address) -> None:
    get(client, "slides")
    server.faults = [Fault("GET", "denied"), Fault("HEAD", "denied")]
    for path in ("slides", "slides/a", "slides/a/tiles", "similar?like=a:1", "sheet", "map"):
        answer = client.get(f"{STORE}/{path}")
        assert answer.status_code == 422, (path, answer.text)
        assert "access is refused" in answer.json()["error"]["what"], answer.text
        assert "top-secret" not in answer.text
