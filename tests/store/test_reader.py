from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
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
from wsi_embed.store import StoreSettings, open_store


def test_a_store_is_a_mapping_of_complete_slides(store_path: Path) -> None:
    store = open_store(store_path)
    assert isinstance(store, Mapping)
    assert list(store) == store.slide_ids == ["a", "empty"]
    assert len(store) == 2
    assert {slide_id: len(bag) for slide_id, bag in store.items()} == {"a": 37, "empty": 0}


@pytest.mark.parametrize("slide_id", ["b", "", "a/features", "../feats.zarr/a", "."])
def test_what_is_no_slide_is_no_key(store_path: Path, slide_id: str) -> None:
    store = open_store(store_path)
    assert slide_id not in store
    with pytest.raises(KeyError, match="no complete slide"):
        store[slide_id]


def test_arrays_are_read_when_sliced(store_path: Path, tmp_path: Path, settings: StoreSettings) -> None:
    other = make_encoded(37, settings, seed=1)
    write_slide(open_writer(tmp_path / "other", settings), "a", other)
    features = open_store(store_path)["a"].features
    shutil.rmtree(store_path / "a" / "features" / "c")
    shutil.copytree(tmp_path / "other" / "a" / "features" / "c", store_path / "a" / "features" / "c")
    np.testing.assert_array_equal(np.asarray(features[:]), other.features.astype(np.float16))


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


def test_a_damaged_slide_is_invisible_and_others_are_not(store_path: Path) -> None:
    (store_path / "a" / "zarr.json").write_text("{")
    store = open_store(store_path)
    assert list(store) == ["empty"]
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
