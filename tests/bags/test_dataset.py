"""Bags as PyTorch takes them: against the arrays of the store."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.bags.labels.made_labels import make_store
from tests.forked import CONTEXT
from wsi_embed.bags.dataset import BagDataset
from wsi_embed.bags.geometry import lattice
from wsi_embed.bags.labels import join_labels
from wsi_embed.errors import MissingExtraError, StoreError, UsageError
from wsi_embed.store import PatientBag, Store

torch = pytest.importorskip("torch")

LABELS = {"a1": "tumour", "a2": "tumour", "b1": "normal", "batch%202__c1": "normal", "d.2024": "tumour"}
BY_PATIENT = {"ann": "tumour", "bo": "normal", "cy": "normal"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("dataset") / "feats.zarr")


def assert_is_bag(item: dict[str, Any], bag: Any, rows: Any = np.s_[:]) -> None:
    assert item["features"].dtype == torch.float32
    for name, dtype in (("features", np.float32), ("coords", np.int64), ("cluster", np.int64)):
        expected = getattr(bag, name)[:].astype(dtype)[rows]
        assert item[name].numpy().dtype == expected.dtype
        np.testing.assert_array_equal(item[name].numpy(), expected)


def test_an_item_is_a_bag_with_its_label(store: Store) -> None:
    data = store.torch_dataset(LABELS)
    assert (len(data), data.ids, data.feature_dim) == (5, list(LABELS), 4)
    assert data.classes == ("normal", "tumour")
    for index, (slide_id, label) in enumerate(LABELS.items()):
        item = data[index]
        assert item["id"] == slide_id
        assert data.classes[item["label"]] == label
        assert (item["label"].dtype, item["label"].shape) == (torch.int64, ())
        assert_is_bag(item, store[slide_id])


def test_by_patient_the_slides_are_one_item(store: Store) -> None:
    data = store.torch_dataset(BY_PATIENT, by="patient", missing="skip")
    assert data.ids == ["ann", "bo", "cy"]
    assert_is_bag(data[0], store.patients()["ann"])
    joined = store.torch_dataset(join_labels(store, BY_PATIENT, by="patient", missing="skip"))
    assert_is_bag(joined[0], store.patients()["ann"])


def test_without_labels_all_bags_with_tiles(tmp_path: Path) -> None:
    slides = {"a": ("a.svs", "p", 3), "b": ("b.svs", None, 2), "empty": ("e.svs", "q", 0)}
    store = make_store(tmp_path / "f.zarr", slides)
    data = store.torch_dataset()
    assert (data.ids, data.targets, "label" in data[0]) == (["a", "b"], None, False)
    assert store.torch_dataset(by="patient").ids == ["p"]
    with pytest.raises(UsageError, match="give them too"):
        store.torch_dataset(split="train")


def test_a_split_keeps_the_numbers_of_the_classes(store: Store, tmp_path: Path) -> None:
    rows = [
        f"{slide_id},{label},{'train' if label == 'tumour' else 'test'}" for slide_id, label in LABELS.items()
    ]
    (tmp_path / "t.csv").write_text("\n".join(["slide_id,label,split", *rows]))
    data = store.torch_dataset(tmp_path / "t.csv", split="train")
    assert (data.ids, data.classes) == (["a1", "a2", "d.2024"], ("normal", "tumour"))
    assert data.targets is not None
    assert data.targets.tolist() == [1, 1, 1]


def test_a_loop_ends_and_a_position_beyond_is_an_error(store: Store) -> None:
    data = store.torch_dataset(LABELS)
    assert [item["id"] for item in data] == list(LABELS)  # type: ignore[attr-defined]
    assert data[-1]["id"] == "d.2024"
    with pytest.raises(IndexError):
        data[5]


def ids_and_rows(data: BagDataset) -> list[Any]:
    return [data[n]["coords"].tolist() for n in range(len(data))]


def test_tiles_are_drawn_by_seed_and_epoch(store: Store) -> None:
    data = store.torch_dataset(LABELS, max_tiles=3, seed=7)
    first = ids_and_rows(data)
    assert [len(rows) for rows in first] == [3, 3, 3, 3, 2]
    assert ids_and_rows(data) == first
    drawn = set()
    for epoch in range(30):
        data.set_epoch(epoch)
        item = data[1]
        where = {tuple(xy): n for n, xy in enumerate(store["a2"].coords[:].tolist())}
        rows = [where[tuple(xy)] for xy in item["coords"].tolist()]
        assert rows == sorted(set(rows))
        assert_is_bag(item, store["a2"], rows)
        drawn.add(tuple(rows))
    assert len(drawn) > 20
    assert {row for rows in drawn for row in rows} == set(range(9))
    again = store.torch_dataset(
        {k: v for k, v in LABELS.items() if k != "a1"}, missing="skip", max_tiles=3, seed=7
    )
    assert ids_and_rows(again) == first[1:], "other bags in the set change nothing"
    assert ids_and_rows(store.torch_dataset(LABELS, max_tiles=3, seed=8)) != first


def test_it_can_be_pickled_and_opens_the_store_anew(store: Store) -> None:
    data = store.torch_dataset(LABELS, max_tiles=3)
    content = pickle.dumps(data)
    assert len(content) < 4000
    assert ids_and_rows(pickle.loads(content)) == ids_and_rows(data)


def test_workers_that_live_on_see_the_next_epoch(store: Store) -> None:
    data = store.torch_dataset(LABELS, max_tiles=2)
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=1, multiprocessing_context=CONTEXT, persistent_workers=True
    )
    seen = []
    for epoch in range(2):
        data.set_epoch(epoch)
        items = list(loader)
        assert [item["id"] for item in items] == list(LABELS)
        seen.append([item["coords"].tolist() for item in items])
        assert seen[-1] == ids_and_rows(data)
    assert seen[0] != seen[1]


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "f.zarr", {"a": ("a.svs", None, 3)})
    array: Any = zarr.open_group(store.path / "a", mode="r+")["features"]
    array[1, 2] = np.inf  # in a column that is not looked at for missing parts
    with pytest.raises(StoreError, match="is not the object that was written"):
        store.torch_dataset()[0]


@pytest.mark.parametrize("options", [{"max_tiles": 0}, {"style": "clam"}, {"adjacency": True}])
def test_arguments_that_make_no_sense(store: Store, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        store.torch_dataset(LABELS, **options)


def test_without_torch_the_extra_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"\[mil\]"):
        store.torch_dataset(LABELS)


def test_neighbours_in_the_lattice(store: Store) -> None:
    row_col = store["a2"].grid[:]
    np.testing.assert_array_equal(lattice(store["a2"]), row_col[:, ::-1])
    bag = PatientBag("ann", [store["a2"], store["a1"]])
    xy, slide = lattice(bag), bag.slide_index
    apart = np.abs(xy[:, None] - xy[None]).max(axis=2)
    assert apart[slide[:, None] != slide[None]].min() == 2
    np.testing.assert_array_equal(xy[slide == 1] - xy[slide == 1][0], lattice(store["a1"]))
