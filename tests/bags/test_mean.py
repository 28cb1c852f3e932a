from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bags.labels.made_labels import make_store
from tests.store.made_stores import make_settings, open_writer, write_slide
from wsi_embed.bags import mean
from wsi_embed.encoder.base import Encoded
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.store import PatientBag, Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    slides = {"a1": ("a1.svs", "ann", 5), "a2": ("a2.svs", "ann", 9), "empty": ("e.svs", "eve", 0)}
    return make_store(tmp_path_factory.mktemp("mean") / "f.zarr", slides)


# blocks that are smaller than a slide, end with it, and exceed it
@pytest.mark.parametrize("block", [1, 4, 5, 8192])
def test_slides_and_patients_have_the_mean_of_their_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(mean, "BLOCK", block)
    for bag in (store["a1"], store["a2"], store.patients()["ann"]):
        rows = bag.features[:].astype(np.float64)
        found = bag.mean()
        assert found.dtype == np.float32
        assert found.shape == (4,)
        np.testing.assert_array_equal(found, (np.add.reduce(rows) / len(rows)).astype(np.float32))


def test_tiles_of_a_patient_have_equal_weight(store: Store) -> None:
    slides = [store["a1"], store["a2"]]
    expected = np.average([bag.mean() for bag in slides], axis=0, weights=[5, 9])
    np.testing.assert_allclose(store.patients()["ann"].mean(), expected, rtol=1e-5)


def test_sums_beyond_float16_do_not_overflow_or_drift(tmp_path: Path) -> None:
    settings = make_settings(clusters=None)
    rows = np.full((3000, 4), [60000, 1, 0.1, -60000], np.float16)
    write_slide(open_writer(tmp_path / "s", settings), "a", Encoded(rows.astype(np.float32)), batch=3000)
    np.testing.assert_array_equal(open_store(tmp_path / "s")["a"].mean(), rows[0].astype(np.float32))


def test_a_bag_without_tiles_is_refused(store: Store) -> None:
    for bag, name in (
        (store["empty"], "empty"),
        (store.patients()["eve"], "eve"),
        (PatientBag("x", []), "x"),
    ):
        with pytest.raises(UsageError, match=rf"^{name}: has no tiles, so there is no mean"):
            bag.mean()


def test_features_that_are_not_finite_are_refused() -> None:
    rows = np.ones((3, 2), np.float16)
    rows[1, 1] = np.inf
    with pytest.raises(StoreError, match="a: features that are not finite"):
        mean.mean_features(rows, "a")


def test_damage_is_a_store_error(tmp_path: Path) -> None:
    broken = make_store(tmp_path / "f.zarr", {"a": ("a.svs", "ann", 5)})
    for chunk in (tmp_path / "f.zarr" / "a" / "features" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    with pytest.raises(StoreError, match="part of the array is missing"):
        broken["a"].mean()
