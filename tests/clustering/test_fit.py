"""Spherical k-means of stored features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.store.made_stores import make_settings, open_writer, write_slide
from wsi_embed.bags.even_sample import even_share
from wsi_embed.clustering import fit, fit_clusters
from wsi_embed.encoder.base import Encoded
from wsi_embed.errors import UsageError
from wsi_embed.store import Store, open_store

pytest.importorskip("sklearn")
DIM, KINDS = 16, 6


def kinds_of(tiles: int, seed: int) -> np.ndarray:
    """Kind of each tile; the first is the most frequent."""
    shares = np.array([6, 5, 4, 3, 2, 1]) / 21
    return np.random.default_rng(seed).choice(KINDS, tiles, p=shares)


def features_of(kinds: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Features far from the origin, in the direction of their kind, of any length."""
    rng = np.random.default_rng(99)
    directions = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0][:KINDS]
    rng = np.random.default_rng(seed)
    length = rng.uniform(0.5, 3, (len(kinds), 1))
    rows = length * (directions[kinds] + noise * rng.standard_normal((len(kinds), DIM)))
    return np.asarray(rows + 5, np.float32)


def made_store(path: Path, tiles: dict[str, int], noise: float = 0.05) -> Store:
    settings = make_settings(dim=DIM, clusters=None)
    writer = open_writer(path, settings)
    for number, (name, count) in enumerate(tiles.items()):
        features = features_of(kinds_of(count, number), noise, number)
        write_slide(writer, name, Encoded(features))
    return open_store(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_store(tmp_path_factory.mktemp("store") / "feats.zarr", {"a": 300, "b": 60, "c": 240})


def test_planted_clusters_are_found(store: Store) -> None:
    from sklearn.metrics import adjusted_rand_score

    head = fit_clusters(store, KINDS)
    for number, (_, bag) in enumerate(store.items()):
        cluster, confidence = head.assign(bag.features[:])
        assert adjusted_rand_score(kinds_of(len(bag), number), cluster) == 1.0
        assert confidence.min() > 0.3


def test_clusters_are_numbered_by_size(store: Store) -> None:
    head = fit_clusters(store, KINDS)
    counts = np.zeros(KINDS, np.int64)
    for bag in store.values():
        counts += np.bincount(head.assign(bag.features[:])[0], minlength=KINDS)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert head.about["shares"] == pytest.approx(counts / counts.sum(), abs=1e-6)


def test_the_same_arguments_give_the_same_clusters(store: Store) -> None:
    first, again = (fit_clusters(store, 4, sample=200, seed=3) for _ in range(2))
    assert first.digest == again.digest
    assert fit_clusters(store, 4, sample=200, seed=4).digest != first.digest


def test_the_most_stable_number_is_that_of_the_planted_ones(store: Store) -> None:
    head = fit_clusters(store, "auto")
    assert len(head) == KINDS
    assert head.about["auto"] is True


@pytest.mark.parametrize(
    ("tiles", "most", "share"),
    [([10, 10], 100, 10), ([100, 100], 50, 25), ([5, 100], 45, 40), ([1, 2, 1000], 3, 1), ([4], 2, 2)],
)
def test_slides_give_even_shares(tiles: list[int], most: int, share: int) -> None:
    assert even_share(tiles, most) == share


def test_the_sample_is_drawn_evenly(store: Store) -> None:
    assert fit_clusters(store, 3, sample=150).about["sample"] == 150


@pytest.mark.parametrize(
    ("k", "says"),
    [("many", "give a number"), (0, "1 to 1000"), (601, "has only 600 tiles"), (5000, "1 to 1000")],
)
def test_wrong_numbers_are_one_line(store: Store, k: int | str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fit_clusters(store, k)


def test_features_that_are_no_numbers_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_features", lambda bag, count, _: np.full((count, DIM), np.nan, np.float32))
    with pytest.raises(UsageError, match="not finite numbers"):
        fit_clusters(store, 3)


def test_a_store_without_tiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no slide has tiles"):
        fit_clusters(made_store(tmp_path / "f.zarr", {"a": 0}), 3)
    with pytest.raises(UsageError, match="needs at least 80 tiles"):
        fit_clusters(made_store(tmp_path / "g.zarr", {"a": 70}), "auto")
