"""Search with an index, against the exact search."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.explore.test_similar import made_store
from wsi_embed.errors import MissingExtraError
from wsi_embed.explore import similar, tile_index
from wsi_embed.explore.similar import TileSearch
from wsi_embed.explore.tile_index import FILE
from wsi_embed.store import Store

SIZES = {"a": 700, "b": 500, "empty": 0, "c": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    pytest.importorskip("usearch")
    return made_store(tmp_path_factory.mktemp("index") / "feats.zarr", SIZES)


def test_nearly_all_of_the_best_tiles_are_found_with_their_cosines(store: Store) -> None:
    exact, indexed = TileSearch(store, index=False), TileSearch(store, index=True)
    assert (exact.index, indexed.index is None) == (None, False)
    hits = 0
    for row in range(0, 500, 10):
        expected = exact.similar([("a", row), ("b", row)], [("b", 499 - row)], k=10)
        found = indexed.similar([("a", row), ("b", row)], [("b", 499 - row)], k=10)
        assert len(found) == 10
        assert not {(tile.slide_id, tile.tile) for tile in found} & {("a", row), ("b", row), ("b", 499 - row)}
        assert [tile.cosine for tile in found] == sorted((tile.cosine for tile in found), reverse=True)
        hits += len({*found} & {*expected})
    assert hits / 500 > 0.97


def test_with_a_limit_per_slide_the_search_is_exact(store: Store) -> None:
    exact, indexed = TileSearch(store, index=False), TileSearch(store, index=True)
    assert indexed.similar([("a", 3)], k=9, per_slide=2) == exact.similar([("a", 3)], k=9, per_slide=2)


def test_the_file_is_read_again_and_replaced_if_it_is_damaged(store: Store, tmp_path: Path) -> None:
    found = [TileSearch(store, cache=tmp_path, in_memory=0, index=True).similar([("a", 1)], k=5)]
    (path,) = tmp_path.rglob(FILE)
    whole = path.read_bytes()
    for content in (whole, b"", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(content)
        found.append(TileSearch(store, cache=tmp_path, in_memory=0, index=True).similar([("a", 1)], k=5))
        assert path.stat().st_size == len(whole)
    assert all(each == found[0] for each in found)


def test_very_many_tiles_are_searched_with_an_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TileSearch(store).index is None
    monkeypatch.setattr(similar, "MANY", 1000)
    assert TileSearch(store).index is not None
    assert TileSearch(store, index=False).index is None


def test_without_the_extra_the_search_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    monkeypatch.setattr(similar, "MANY", 3)
    store = made_store(tmp_path / "feats.zarr", {"a": 9})
    assert not tile_index.is_installed()
    assert TileSearch(store).index is None
    with pytest.raises(MissingExtraError, match="an index of tiles needs usearch"):
        TileSearch(store, index=True)
