"""Clusters in a folder, and the bags that take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.made_stores import DIM, make_encoded, make_settings, open_writer, write_slide
from wsi_embed.bags.cluster_head import ARRAYS, DOCUMENT, ClusterHead, unit_rows
from wsi_embed.errors import UsageError
from wsi_embed.store import Store, open_store


@pytest.fixture
def made_store(tmp_path: Path) -> Store:
    settings = make_settings()
    writer = open_writer(tmp_path / "feats.zarr", settings)
    for name, tiles in (("a", 37), ("b", 8)):
        write_slide(writer, name, make_encoded(tiles, settings, seed=tiles))
    return open_store(tmp_path / "feats.zarr")


def make_head(k: int = 5, seed: int = 0, model_id: str | None = None, **more: Any) -> ClusterHead:
    rng = np.random.default_rng(seed)
    centroids = unit_rows(rng.standard_normal((k, DIM), np.float32))
    mean = rng.standard_normal(DIM, np.float32) / np.float32(4)
    return ClusterHead(model_id or make_settings().model_id, mean, centroids, 0.25, **more)


def slow(head: ClusterHead, rows: np.ndarray) -> list[tuple[int, float]]:
    """Cluster and confidence of each row, one number after the other."""
    found = []
    for row in rows.astype(np.float64):
        centred = row - head.mean
        length = np.sqrt(sum(v * v for v in centred))
        cosines = [sum(a * b for a, b in zip(centred / length, c, strict=True)) for c in head.centroids]
        powers = [np.exp(c / head.temperature) for c in cosines]
        best = int(np.argmax(cosines))
        found.append((best, powers[best] / sum(powers)))
    return found


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_tiles_are_assigned_as_a_slow_version_does(dtype: type) -> None:
    head = make_head()
    rows: np.ndarray = np.asarray(np.random.default_rng(1).standard_normal((40, DIM)), dtype)
    cluster, confidence = head.assign(rows)
    expected = slow(head, rows)
    assert cluster.tolist() == [c for c, _ in expected]
    assert confidence == pytest.approx([p for _, p in expected], abs=1e-3)
    assert (str(cluster.dtype), str(confidence.dtype)) == ("int16", "float16")


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(3, 7\) do not fit clusters of 4"):
        make_head().assign(np.zeros((3, 7)))


def test_a_folder_gives_back_what_was_saved(tmp_path: Path) -> None:
    head = make_head(about={"store": "feats.zarr", "shares": [0.5]})
    head.save(tmp_path / "clusters")
    again = ClusterHead.load(tmp_path / "clusters")
    assert again.digest == head.digest
    assert (again.about, again.temperature) == (head.about, head.temperature)
    assert np.array_equal(again.centroids, head.centroids)


def test_other_centroids_have_another_digest() -> None:
    assert make_head(about={"store": "a"}).digest == make_head().digest
    assert make_head(seed=1).digest != make_head().digest


def test_features_that_are_not_finite_are_refused() -> None:
    rows = np.zeros((3, DIM), np.float32)
    rows[1, 2] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        make_head().assign(rows)


def test_both_arrays_read_the_features_once(
    made_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, calls = make_head(model_id=made_store.model_id), []
    head.save(tmp_path / "clusters")
    original = ClusterHead.assign

    def counted(self: ClusterHead, rows: np.ndarray) -> Any:
        calls.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(ClusterHead, "assign", counted)
    monkeypatch.setattr("wsi_embed.bags.cluster_head.BLOCK", 20)
    bag = open_store(made_store.where, clusters=tmp_path / "clusters")["a"]
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    assert np.array_equal(bag.cluster[:], original(head, bag.features[:])[0])
    assert len(bag.cluster_confidence[3:5]) == 2
    assert calls == [20, 17]


@pytest.mark.parametrize("damage", ["missing", "another array", "text", "empty", "half", "other numbers"])
def test_damaged_folders_are_one_line(damage: str, tmp_path: Path) -> None:
    make_head().save(tmp_path)
    if damage == "missing":
        (tmp_path / ARRAYS).unlink()
    elif damage in ("empty", "half"):
        content = (tmp_path / ARRAYS).read_bytes()
        (tmp_path / ARRAYS).write_bytes(content[: len(content) // 2 if damage == "half" else 0])
    elif damage == "another array":
        make_head(k=4).save(tmp_path / "other")
        (tmp_path / "other" / ARRAYS).replace(tmp_path / ARRAYS)
    elif damage == "text":
        (tmp_path / ARRAYS).write_text("nothing")
    else:
        document = json.loads((tmp_path / DOCUMENT).read_text())
        (tmp_path / DOCUMENT).write_text(json.dumps(document | {"temperature": 1.0}))
    with pytest.raises(UsageError, match=r"make (them|the clusters)"):
        ClusterHead.load(tmp_path)


def test_a_mistake_in_the_document_is_said_with_its_line_and_nothing_is_lost(tmp_path: Path) -> None:
    make_head().save(tmp_path)
    document = tmp_path / DOCUMENT
    edited = document.read_text().rstrip("}\n") + ',\n  "names": {"0": "fat" "1": "stroma"}\n}\n'
    line = edited.count("\n", 0, edited.index("names")) + 1
    document.write_text(edited)
    mistake = rf"clusters\.json, line {line}: not JSON \(Expecting ',' delimiter at column 24\); "
    with pytest.raises(UsageError, match=rf"{mistake}mend line {line} of clusters\.json$"):
        ClusterHead.load(tmp_path)
    with pytest.raises(UsageError, match=rf"{mistake}mend it, or choose another folder$"):
        make_head().save(tmp_path)
    assert document.read_text() == edited


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    head = make_head()
    head.save(tmp_path)
    (tmp_path / DOCUMENT).write_text((tmp_path / DOCUMENT).read_text(), "utf-8-sig")
    assert ClusterHead.load(tmp_path).digest == head.digest


def test_bags_take_the_clusters_of_a_folder(made_store: Store, tmp_path: Path) -> None:
    head = make_head(model_id=made_store.model_id)
    head.save(tmp_path / "clusters")
    store = open_store(made_store.where, clusters=tmp_path / "clusters")
    assert store.clusters == 5
    for slide_id, bag in store.items():
        own, features = made_store[slide_id], made_store[slide_id].features[:]
        cluster, confidence = head.assign(features)
        assert bag.cluster is not None
        assert bag.cluster_confidence is not None
        assert np.array_equal(bag.cluster[:], cluster)
        assert np.array_equal(np.asarray(bag.cluster_confidence), confidence)
        assert np.array_equal(bag.cluster[1:3], cluster[1:3])
        assert bag.cluster[2] == cluster[2]
        assert np.array_equal(bag.cluster[cluster == 0], cluster[cluster == 0])
        assert bag.cluster.shape == (len(bag),)
        assert np.array_equal(bag.cluster_histogram(normalise=False), np.bincount(cluster, minlength=5))
        assert own.cluster is not None
        assert own.clusters != 5


def test_clusters_of_another_model_are_refused(made_store: Store, tmp_path: Path) -> None:
    make_head(model_id="sha256:b").save(tmp_path)
    with pytest.raises(UsageError, match="clusters of the features of sha256:b"):
        open_store(made_store.where, clusters=tmp_path)
