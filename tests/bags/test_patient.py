from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import wsi_embed
from tests.job_tools import make_model, make_slides
from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.errors import StoreError
from wsi_embed.store import PatientBag, open_store

ANN = {"patient": "ann"}
SIZES = {"a1": ("ann", 5), "a2": ("ann", 0), "a3": ("ann", 9), "b1": ("bo", 4), "nobody": (None, 3)}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, settings = tmp_path_factory.mktemp("store") / "s", make_settings()
    writer = open_writer(path, settings)
    for number, (slide_id, (patient, tiles)) in enumerate(SIZES.items()):
        write_slide(
            writer, slide_id, make_encoded(tiles, settings, seed=number), attributes={"patient": patient}
        )
    return path


def joined(path: Path, patient: str) -> PatientBag:
    return open_store(path).patients()[patient]


def test_slides_are_joined_by_patient(path: Path) -> None:
    patients = open_store(path).patients()
    assert {name: bag.slide_ids for name, bag in patients.items()} == {
        "ann": ["a1", "a2", "a3"],
        "bo": ["b1"],
    }
    assert len(patients["ann"]) == 14
    assert repr(patients["ann"]) == "PatientBag('ann', 3 slides, 14 tiles)"
    assert patients["ann"].slide_index.tolist() == [0] * 5 + [2] * 9


@pytest.mark.parametrize("name", ["features", "coords", "cluster", "tissue_fraction"])
def test_arrays_are_one_after_the_other(path: Path, name: str) -> None:
    bag = joined(path, "ann")
    whole = np.concatenate([getattr(b, name)[:] for b in bag.bags])
    array = getattr(bag, name)
    assert (array.shape, array.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_array_equal(array[:], whole)
    np.testing.assert_array_equal(np.asarray(array), whole)


INDICES = st.one_of(
    st.integers(-14, 13),
    st.slices(14),
    st.lists(st.integers(-14, 13), min_size=0, max_size=30),
    st.lists(st.booleans(), min_size=14, max_size=14).map(np.array),
)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=INDICES)
def test_any_index_means_what_it_means_to_numpy(path: Path, index: Any) -> None:
    array = joined(path, "ann").features
    index = np.array(index, int) if isinstance(index, list) else index
    np.testing.assert_array_equal(array[index], array[:][index])


def test_a_row_beyond_the_end_is_an_error(path: Path) -> None:
    with pytest.raises(IndexError):
        joined(path, "ann").features[14]


def test_without_cluster_head_there_are_no_clusters(tmp_path: Path) -> None:
    settings = make_settings(clusters=None)
    write_slide(
        open_writer(tmp_path / "s", settings), "a", make_encoded(3, settings), attributes={"patient": "ann"}
    )
    assert joined(tmp_path / "s", "ann").cluster is None


def test_damage_is_a_store_error(tmp_path: Path) -> None:
    settings = make_settings()
    write_slide(
        open_writer(tmp_path / "s", settings), "a", make_encoded(3, settings), attributes={"patient": "ann"}
    )
    for chunk in (tmp_path / "s" / "a" / "features" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    with pytest.raises(StoreError, match="missing"):
        joined(tmp_path / "s", "ann").features[:]


def test_the_manifests_patient_travels_into_the_store(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=3, side=300), make_model(tmp_path / "model")
    (slides / "list.csv").write_text("path,patient\ns0.tif,P 1\ns2.tif,P 1\nbatch 2/s1.svs,P-2\n")
    wsi_embed.embed(slides / "list.csv", tmp_path / "f.zarr", model=model)
    patients = wsi_embed.open_store(tmp_path / "f.zarr").patients()
    assert {name: bag.slide_ids for name, bag in patients.items()} == {"P 1": ["s0", "s2"], "P-2": ["s1"]}
