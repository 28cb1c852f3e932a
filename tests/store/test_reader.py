from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.store.made_stores import (
    make_encoded,
    make_grid,
    make_settings,
    open_writer,
    write_slide,
)
from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import LocalPlace
from wsi_embed.store import StoreSettings, open_store, verify
from wsi_embed.store.group import read_group


def test_a_store_is_a_mapping_of_complete_slides(store_path: Path) -> None:
    store = open_store(store_path)
    assert isinstance(store, Mapping)
    assert list(store) == store.slide_ids == ["a", "empty"]
    assert len(store) == 2
    assert {slide_id: len(bag) for slide_id, bag in store.items()} == {"a": 37, "empty": 0}


@pytest.mark.parametrize("slide_id", ["b", "", "a/features", "../feats.zarr/a", ".", "..", "a\0"])
def test_what_is_no_slide_is_no_key(store_path: Path, slide_id: str) -> None:
    store = open_store(store_path)
    assert slide_id not in store
    assert store.state(slide_id) is None
    with pytest.raises(KeyError, match="no complete slide"):
        store[slide_id]


def test_arrays_are_read_when_sliced_and_compared(
    store_path: Path, tmp_path: Path, settings: StoreSettings
) -> None:
    other = make_encoded(37, settings, seed=1)
    write_slide(open_writer(tmp_path / "other", settings), "a", other)
    features = open_store(store_path)["a"].features
    shutil.rmtree(store_path / "a" / "features" / "c")
    shutil.copytree(tmp_path / "other" / "a" / "features" / "c", store_path / "a" / "features" / "c")
    with pytest.raises(StoreError, match="features/c/0/0 is not the object that was written"):
        features[:]


@pytest.mark.parametrize("read", ["coords", "grid"])
def test_swapped_arrays_are_an_error(store_path: Path, read: str) -> None:
    (store_path / "a" / "coords").rename(store_path / "a" / "x")
    (store_path / "a" / "grid").rename(store_path / "a" / "coords")
    (store_path / "a" / "x").rename(store_path / "a" / "grid")
    bag = open_store(store_path)["a"]
    with pytest.raises(StoreError, match=f"{read}/c/0/0 is not the object that was written"):
        getattr(bag, read)[:]


CHANGES: dict[str, Callable[[Path], object]] = {
    "shape": lambda a: edit(a / "features" / "zarr.json", shape=[36, 4]),
    "an absurd shape": lambda a: edit(a / "features" / "zarr.json", shape=[10**15, 4]),
    "fill value": lambda a: edit(a / "features" / "zarr.json", fill_value=0.0),
    "type": lambda a: edit(a / "coords" / "zarr.json", data_type="uint32"),
    "an array removed": lambda a: shutil.rmtree(a / "cluster"),
    "a document removed": lambda a: (a / "grid" / "zarr.json").unlink(),
    "a document emptied": lambda a: (a / "grid" / "zarr.json").write_bytes(b""),
    "a document no text": lambda a: (a / "grid" / "zarr.json").write_bytes(b"\xff\xfe"),
    "a document too deep": lambda a: (a / "grid" / "zarr.json").write_text("[" * 100_000),
    "attributes": lambda a: edit(a / "zarr.json", attributes={"complete": True, "n_tiles": 37}),
    "number of tiles": lambda a: edit_attributes(a, n_tiles=10**15),
    "patient": lambda a: edit_attributes(a, patient="p2"),
    "slide id": lambda a: edit_attributes(a, slide_id="b"),
    "model": lambda a: edit_attributes(a, model_id="sha256:b"),
    "complete": lambda a: edit_attributes(a, complete="yes"),
    "no digest": lambda a: edit_attributes(a, digest=None),
    "a group too deep": lambda a: (a / "zarr.json").write_text('{"a":' * 100_000),
    "a group that is a list": lambda a: (a / "zarr.json").write_text("[]"),
    "a group with a number": lambda a: (a / "zarr.json").write_text("9" * 10_000),
    "a folder for a document": lambda a: as_folder(a / "zarr.json"),
}


def as_folder(document: Path) -> None:
    document.unlink()
    document.mkdir()


def edit(document: Path, **values: object) -> None:
    document.write_text(json.dumps({**json.loads(document.read_text()), **values}))


def edit_attributes(group: Path, **values: object) -> None:
    edit(
        group / "zarr.json",
        attributes={**json.loads((group / "zarr.json").read_text())["attributes"], **values},
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_slide_is_one_error_that_names_it(store_path: Path, change: str) -> None:
    CHANGES[change](store_path / "a")
    store = open_store(store_path)
    with pytest.raises(StoreError, match=r"^a") as found:
        store["a"]
    assert len(str(found.value).splitlines()) == 1
    assert "run wsi-embed verify" in str(found.value) or "cannot be read" in str(found.value)
    assert list(store) == ["a", "empty"]
    assert "a" in store
    assert len(store["empty"]) == 0
    assert [p.where for p in verify(store_path)][:1] == ["a"]


def test_a_store_that_another_process_rewrites_can_be_read(store_path: Path, settings: StoreSettings) -> None:
    """The documents may be of another group than the attributes that were read before."""
    folder = LocalPlace(store_path / "a")
    writer, rounds = open_writer(store_path, settings), iter(range(2))

    class Rewritten(LocalPlace):
        def read(self, key: str) -> bytes:
            content = super().read(key)
            if key == "zarr.json" and next(rounds, None) is not None:
                write_slide(writer, "a", make_encoded(5, settings))
            return content

    group = read_group(Rewritten(folder.path), settings.to_dict())
    assert group is not None
    assert group.attributes["n_tiles"] == 5


def test_a_missing_object_is_an_error_not_a_hole(store_path: Path) -> None:
    bag = open_store(store_path)["a"]
    for name in ("features", "coords", "grid", "tissue_fraction"):
        shutil.rmtree(store_path / "a" / name / "c")
        with pytest.raises(StoreError, match="run wsi-embed verify"):
            getattr(bag, name)[:]


def test_arrays_behave_like_arrays(store_path: Path, settings: StoreSettings) -> None:
    expected = make_encoded(37, settings).features.astype(np.float16)
    features = open_store(store_path)["a"].features
    mask = np.arange(37) % 5 == 0
    assert (len(features), features.shape) == (37, expected.shape)
    assert features.dtype == np.dtype("float16")
    np.testing.assert_array_equal(np.asarray(features), expected)
    np.testing.assert_array_equal(features[3], expected[3])
    np.testing.assert_array_equal(features[-2:], expected[-2:])
    np.testing.assert_array_equal(features[[36, 0, -1]], expected[[36, 0, -1]])
    np.testing.assert_array_equal(features[mask], expected[mask])


def test_slices_are_of_the_rows_asked_for(store_path: Path, settings: StoreSettings) -> None:
    expected = make_encoded(37, settings).features.astype(np.float16)
    features = open_store(store_path)["a"].features
    np.testing.assert_array_equal(np.asarray(features[7:30]), expected[7:30])
    np.testing.assert_array_equal(np.asarray(features[36]), expected[36])


def test_a_bag_knows_its_attributes(store_path: Path) -> None:
    bag = open_store(store_path)["a"]
    assert (bag.slide_id, bag.patient, bag.attrs["mpp"]) == ("a", "p1", 0.25)
    assert repr(bag) == "Bag('a', 37 tiles)"


def test_a_bag_without_cluster_head_has_no_clusters(tmp_path: Path) -> None:
    settings = make_settings(clusters=None)
    write_slide(open_writer(tmp_path / "s", settings), "a", make_encoded(3, settings))
    bag = open_store(tmp_path / "s")["a"]
    assert bag.cluster is None
    assert bag.cluster_confidence is None


def test_a_slide_being_written_is_invisible(store_path: Path, settings: StoreSettings) -> None:
    with open_writer(store_path, settings).slide("b", make_grid(7)) as writer:
        writer.append(make_encoded(7, settings))
        store = open_store(store_path)
        assert "b" not in store
        assert list(store) == ["a", "empty"]
        assert store.incomplete() == ["b"]


def test_a_damaged_slide_is_named_and_others_are_read(store_path: Path) -> None:
    (store_path / "a" / "zarr.json").write_text("{")
    store = open_store(store_path)
    assert list(store) == ["a", "empty"]
    assert "a" in store
    with pytest.raises(StoreError, match="a: not a readable Zarr group"):
        store["a"]
    assert len(store["empty"]) == 0
    assert store.incomplete() == ["a"]


@pytest.mark.parametrize("made", ["nothing", "empty folder", "file"])
def test_no_store_there(tmp_path: Path, made: str) -> None:
    path = tmp_path / "s"
    if made == "empty folder":
        path.mkdir()
    elif made == "file":
        path.write_text("x")
    with pytest.raises(StoreError, match="no store there"):
        open_store(path)


def test_another_zarr_group_is_not_a_store(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other", zarr_format=3)
    with pytest.raises(StoreError, match="not a wsi-embed store"):
        open_store(tmp_path / "other")


def test_a_newer_format_is_refused_by_its_number(store_path: Path) -> None:
    document = store_path / "zarr.json"
    values = json.loads(document.read_text())
    values["attributes"]["format_version"] = 7
    document.write_text(json.dumps(values))
    with pytest.raises(StoreError, match="format 7, this wsi-embed reads 1"):
        open_store(store_path)


def test_the_root_names_the_model(store_path: Path, settings: StoreSettings) -> None:
    store = open_store(store_path)
    assert store.model_id == settings.model_id
    assert store.attrs["settings"] == settings.to_dict()


def test_plain_zarr_reads_it_too(store_path: Path, settings: StoreSettings) -> None:
    array = zarr.open_array(store_path / "a" / "features", mode="r")
    np.testing.assert_array_equal(
        np.asarray(array[:]), make_encoded(37, settings).features.astype(np.float16)
    )


@pytest.mark.parametrize(
    "name", ["settings", "model", "model_id", "digest", "clusters", "feature_dim", "mpp"]
)
def test_a_store_whose_root_was_changed_is_refused(store_path: Path, name: str) -> None:
    """One flipped bit of a name there was a KeyError of whatever reads it."""
    document = store_path / "zarr.json"
    content = document.read_bytes()
    assert f'"{name}"'.encode() in content
    document.write_bytes(content.replace(f'"{name}"'.encode(), f'"q{name[1:]}"'.encode(), 1))
    with pytest.raises(
        StoreError, match=r"root attributes were changed .*; restore its zarr.json from a copy"
    ):
        open_store(store_path)
    assert [(problem.where, problem.what) for problem in verify(store_path)] == [
        ("store", "the root attributes were changed after they were written")
    ]
