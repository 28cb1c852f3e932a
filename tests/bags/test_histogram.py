from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bags.labels.made_labels import make_store
from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.errors import UsageError
from wsi_embed.store import Bag, PatientBag, Store, open_store

CLUSTERS = 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    slides = {"a1": ("a1.svs", "ann", 5), "a2": ("a2.svs", "ann", 9), "empty": ("e.svs", "eve", 0)}
    return make_store(tmp_path_factory.mktemp("histogram") / "f.zarr", slides)


def counted(bag: Bag | PatientBag, weighted: bool) -> list[float]:
    """Tile by tile."""
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    counts = [0.0] * CLUSTERS
    for cluster, confidence in zip(bag.cluster[:], bag.cluster_confidence[:], strict=True):
        counts[cluster] += float(confidence) if weighted else 1
    return counts


@pytest.mark.parametrize("weighted", [False, True])
def test_slides_and_patients_are_counted(store: Store, weighted: bool) -> None:
    for bag in (store["a1"], store["a2"], store.patients()["ann"]):
        counts = np.array(counted(bag, weighted))
        found = bag.cluster_histogram(normalise=False, weighted=weighted)
        assert found.shape == (CLUSTERS,)
        np.testing.assert_allclose(found, counts)
        np.testing.assert_allclose(bag.cluster_histogram(weighted=weighted), counts / counts.sum())


def test_a_patient_is_the_mean_of_the_slides_by_their_tiles(store: Store) -> None:
    slides = [store["a1"], store["a2"]]
    mean = np.average([b.cluster_histogram() for b in slides], axis=0, weights=[len(b) for b in slides])
    np.testing.assert_allclose(store.patients()["ann"].cluster_histogram(), mean)


def test_a_bag_without_tiles_has_no_shares(store: Store) -> None:
    for bag in (store["empty"], store.patients()["eve"]):
        assert bag.cluster_histogram().tolist() == [0, 0, 0]


def test_a_store_without_clusters_says_so(tmp_path: Path) -> None:
    settings = make_settings(clusters=None)
    write_slide(
        open_writer(tmp_path / "s", settings), "a", make_encoded(3, settings), attributes={"patient": "p"}
    )
    store = open_store(tmp_path / "s")
    for bag in (store["a"], store.patients()["p"]):
        with pytest.raises(UsageError, match="its model has no cluster head"):
            bag.cluster_histogram()
