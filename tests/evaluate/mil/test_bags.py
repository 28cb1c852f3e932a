from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.made import MadeSlide, made_store
from tests.evaluate.mil.made import bags_of
from wsi_embed.bags.labels import join_labels
from wsi_embed.errors import StoreError
from wsi_embed.evaluate.mil.bags import BagFeatures
from wsi_embed.store import Store

SIZES = {"a": 5, "b": 9, "c": 1, "d": 12}
LABELS = dict.fromkeys(SIZES, "x") | {"d": "y"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rng = np.random.default_rng(0)
    slides = {
        name: MadeSlide(rng.normal(2, 3, size=(n, 4)).astype(np.float32), patient="p" if name < "c" else name)
        for name, n in SIZES.items()
    }
    return made_store(tmp_path_factory.mktemp("bags") / "f.zarr", slides)


@pytest.mark.parametrize(("memory", "kept"), [(0, 0), (9 * 8, 2), (2**30, 4)])
def test_bags_are_the_same_from_memory_and_store(store: Store, memory: int, kept: int) -> None:
    """Bags of 5, 9, 1 and 12 tiles of 8 bytes: 72 bytes hold the first and the third."""
    features = BagFeatures(store, bags_of(LABELS), memory)
    assert features.kept == kept
    for place in (0, 3):
        expected = store["abcd"[place]].features[:]
        np.testing.assert_array_equal(features[place], expected)
        assert features[place].dtype == np.float16
    order = [3, 0, 2, 2, 1]
    for (number, bag), expected_number in zip(features.stream(order), order, strict=True):
        assert number == expected_number
        np.testing.assert_array_equal(bag, store["abcd"[number]].features[:])
    assert list(features.stream([])) == []


def test_statistics_count_each_bag_the_same(store: Store) -> None:
    features = BagFeatures(store, bags_of(LABELS))
    mean, std = features.statistics(np.array([0, 3]))
    bags = [store[name].features[:].astype(np.float64) for name in "ad"]
    expected = np.mean([bag.mean(0) for bag in bags], axis=0)
    spread = np.sqrt(np.mean([np.square(bag).mean(0) for bag in bags], axis=0) - expected**2)
    np.testing.assert_allclose(mean, expected, rtol=1e-4)
    np.testing.assert_allclose(std, spread, rtol=1e-3)
    assert features.dim == 4


def test_a_constant_feature_is_not_divided_by_nothing(tmp_path: Path) -> None:
    slides = {name: MadeSlide(np.full((3, 2), 7, np.float32)) for name in "ab"}
    features = BagFeatures(made_store(tmp_path / "f.zarr", slides), bags_of({"a": "x", "b": "y"}))
    assert features.statistics(np.array([0, 1]))[1].tolist() == [1, 1]


def test_bags_of_patients(store: Store) -> None:
    bags = join_labels(store, LABELS, by="slide")
    joined = join_labels(store, {"p": "x", "c": "x", "d": "y"}, by="patient")
    features = BagFeatures(store, joined, 0)
    place = [bag.id for bag in joined].index("p")
    assert len(bags) == 4
    np.testing.assert_array_equal(
        features[place], np.concatenate([store["a"].features[:], store["b"].features[:]])
    )


def test_a_feature_that_is_no_number_names_its_slide_and_tile(store: Store) -> None:
    class Damaged(BagFeatures):
        def _read(self, number: int) -> np.ndarray:
            features = super()._read(number).copy()
            if number == 1:
                features[[4, 7], 2] = np.nan
            return features

    with pytest.raises(
        StoreError, match="b: features of 2 tiles are not finite, such as those of tile 4; run wsi"
    ):
        Damaged(store, bags_of(LABELS))
