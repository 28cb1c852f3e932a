"""Maps of tiles: the sample, and the projection against scikit-learn."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.explore.test_similar import DIM, made_store
from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.encoder.base import Encoded
from wsi_embed.errors import MissingExtraError, UsageError
from wsi_embed.explore.tile_map import map_tiles, principal_components
from wsi_embed.store import Store, open_store
from wsi_embed.util.extras import install_command


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    sizes = {"b": 90, "a": 12, "empty": 0, "c": 200}
    return made_store(tmp_path_factory.mktemp("map") / "feats.zarr", sizes)


def test_components_are_those_of_scikit_learn(store: Store) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    found = map_tiles(store)
    rows = np.concatenate([store[name].features[:].astype(np.float64) for name in "abc"])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = decomposition.PCA(2).fit_transform(rows)
    assert found.points.dtype == np.float32
    for axis in (0, 1):
        same = np.abs(found.points[:, axis]) - np.abs(expected[:, axis])
        assert np.abs(same).max() < 1e-5
        assert abs(np.corrcoef(found.points[:, axis], expected[:, axis])[0, 1]) > 0.999999


def test_signs_do_not_depend_on_the_library() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    for flipped in (rows, rows[::-1]):
        found = principal_components(flipped, 3)
        weights = np.linalg.lstsq(flipped - flipped.mean(0), found, rcond=None)[0]
        for axis in range(3):
            assert weights[np.abs(weights[:, axis]).argmax(), axis] > 0
    assert principal_components(rows[:, :1], 2)[:, 1].tolist() == [0] * 40


def test_each_slide_gives_as_many_tiles_and_none_twice(store: Store) -> None:
    found = map_tiles(store, sample=100)
    assert found.slide_ids == ("a", "b", "c")
    assert Counter(found.slide.tolist()) == {0: 12, 1: 44, 2: 44}
    assert len(set(zip(found.slide.tolist(), found.tile.tolist(), strict=True))) == 100
    again = map_tiles(store, sample=100)
    assert np.array_equal(again.points, found.points)
    assert not np.array_equal(map_tiles(store, sample=100, seed=1).tile, found.tile)


def test_tiles_have_their_clusters(tmp_path: Path) -> None:
    settings = make_settings()
    writer = open_writer(tmp_path / "feats.zarr", settings)
    for name in "ab":
        write_slide(writer, name, make_encoded(30, settings, seed=ord(name)))
    store = open_store(tmp_path / "feats.zarr")
    found = map_tiles(store, sample=20)
    assert found.cluster is not None
    for slide, tile, cluster in zip(found.slide, found.tile, found.cluster, strict=True):
        clusters = store[found.slide_ids[slide]].cluster
        assert clusters is not None
        assert clusters[int(tile)] == cluster


def test_umap_is_optional(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError) as caught:
        map_tiles(store, "umap")
    assert str(caught.value) == (
        f"a map by UMAP needs umap, which is not installed; {install_command('umap')}"
    )
    assert len(map_tiles(store)) == 302


def test_umap_keeps_kinds_of_tiles_apart(tmp_path: Path) -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.eye(3, DIM, dtype=np.float32), 30, axis=0)
    settings = make_settings(dim=DIM, clusters=None)
    writer = open_writer(tmp_path / "feats.zarr", settings)
    write_slide(writer, "a", Encoded(kinds + 0.05 * rng.standard_normal((90, DIM)).astype(np.float32)))
    store = open_store(tmp_path / "feats.zarr")
    found = map_tiles(store, "umap", seed=3)
    assert found.points.shape == (90, 2)
    assert found.points.dtype == np.float32
    far = np.linalg.norm(found.points[:, None] - found.points[None], axis=2)
    np.fill_diagonal(far, np.inf)
    nearest = found.tile[far.argmin(1)] // 30
    assert (nearest == found.tile // 30).all()
    np.testing.assert_array_equal(found.points, map_tiles(store, "umap", seed=3).points)


def test_umap_of_few_tiles(tmp_path: Path) -> None:
    pytest.importorskip("umap")
    found = map_tiles(made_store(tmp_path / "feats.zarr", {"a": 3}), "umap")
    assert np.isfinite(found.points).all()


def test_what_cannot_be_mapped_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^`method='tsne'`: pca and umap are possible"):
        map_tiles(store, "tsne")
    with pytest.raises(UsageError, match="at least 3 tiles are needed"):
        map_tiles(store, sample=2)
    with pytest.raises(UsageError, match="has fewer than 3 tiles"):
        map_tiles(made_store(tmp_path / "small.zarr", {"a": 2, "b": 0}))


def test_a_damaged_slide_is_left_out(tmp_path: Path) -> None:
    store = made_store(tmp_path / "feats.zarr", {"a": 12, "b": 9})
    next((tmp_path / "feats.zarr" / "b" / "features").glob("c/*/*")).unlink()
    found = map_tiles(store)
    assert (found.slide_ids, len(found)) == (("a",), 12)
    assert found.notes[0].startswith("left out, b")
