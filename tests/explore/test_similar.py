"""Search for similar tiles, against all cosines in float64."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.made_stores import make_settings, open_writer, write_slide
from wsi_embed.encoder.base import Encoded
from wsi_embed.errors import UsageError
from wsi_embed.explore import feature_table
from wsi_embed.explore.feature_table import FEATURES, SLIDES, open_features
from wsi_embed.explore.similar import LIKE, UNLIKE, TileSearch, similar_tiles
from wsi_embed.store import Store, open_store

DIM = 24
Found = list[tuple[str, int]]


def made_store(path: Path, sizes: dict[str, int], seed: int = 0) -> Store:
    """A store whose tiles repeat: every third has the features of another one, or twice those."""
    settings = make_settings(dim=DIM, clusters=None)
    writer = open_writer(path, settings)
    rng = np.random.default_rng(seed)
    kinds = rng.standard_normal((5, DIM))
    for name, count in sizes.items():
        features = kinds[rng.integers(0, 5, count)] + 0.2 * rng.standard_normal((count, DIM))
        again = rng.integers(0, max(count, 1), count // 3)
        features[: len(again)] = features[again] * rng.choice([1, 2], (len(again), 1))
        write_slide(writer, name, Encoded(features.astype(np.float32)))
    return open_store(path)


def oracle(
    store: Store, like: Found, unlike: Found, k: int, per_slide: int | None
) -> list[tuple[str, int, float]]:
    """All cosines in float64, sorted, the first of each slide."""
    tiles = [(name, row) for name, bag in store.items() for row in range(len(bag))]
    rows = np.concatenate([bag.features[:].astype(np.float64) for bag in store.values() if len(bag)])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    of = {tile: unit[index] for index, tile in enumerate(tiles)}
    query = np.mean([of[tile] for tile in like], axis=0)
    if unlike:
        query = LIKE * query - UNLIKE * np.mean([of[tile] for tile in unlike], axis=0)
    query /= np.linalg.norm(query)
    found: list[tuple[str, int, float]] = []
    taken: Counter[str] = Counter()
    for cosine, name, row in sorted((-round(float(of[tile] @ query), 9), *tile) for tile in tiles):
        if (name, row) not in [*like, *unlike] and (per_slide is None or taken[name] < per_slide):
            taken[name] += 1
            found.append((name, row, -cosine))
    return found[:k]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    sizes = {"b": 40, "a": 25, "empty": 0, "c": 1, "d": 60}
    return made_store(tmp_path_factory.mktemp("similar") / "feats.zarr", sizes)


@pytest.fixture(scope="module")
def search(store: Store) -> TileSearch:
    return TileSearch(store)


tiles_of = st.one_of(
    st.tuples(st.just("a"), st.integers(0, 24)),
    st.tuples(st.just("d"), st.integers(0, 59)),
    st.just(("c", 0)),
)


@settings(max_examples=40)
@given(
    like=st.lists(tiles_of, min_size=1, max_size=4, unique=True),
    unlike=st.lists(tiles_of, max_size=3, unique=True),
    k=st.sampled_from([1, 7, 200]),
    per_slide=st.sampled_from([None, 1, 3]),
)
def test_the_best_of_all_cosines_are_found(
    search: TileSearch, like: Found, unlike: Found, k: int, per_slide: int | None
) -> None:
    try:
        found = search.similar(like, unlike, k=k, per_slide=per_slide)
    except UsageError as error:  # the examples are the counterexamples, of the same length
        assert "no common direction" in str(error)  # noqa: PT017
        return
    expected = oracle(search.store, like, unlike, k, per_slide)
    assert [(tile.slide_id, tile.tile) for tile in found] == [(name, row) for name, row, _ in expected]
    assert [tile.cosine for tile in found] == pytest.approx([c for *_, c in expected], abs=1e-9)


def test_a_tile_comes_with_its_corner_and_not_with_itself(store: Store) -> None:
    found = similar_tiles(store, "a", 3, k=400)
    assert len(found) == 125
    assert ("a", 3) not in {(tile.slide_id, tile.tile) for tile in found}
    for tile in found:
        assert store[tile.slide_id].coords[tile.tile].tolist() == [tile.x, tile.y]


def test_blocks_and_files_give_what_memory_gives(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = TileSearch(store).similar([("d", 5)], [("b", 1)], k=30)
    monkeypatch.setattr(feature_table, "BLOCK", 7)
    search = TileSearch(store, cache=tmp_path, in_memory=0)
    assert isinstance(search.table.features, np.memmap)
    assert search.similar([("d", 5)], [("b", 1)], k=30) == expected


def test_a_file_is_read_again_and_replaced_when_the_store_changes(tmp_path: Path) -> None:
    store = made_store(tmp_path / "feats.zarr", {"a": 12, "b": 9})
    first = open_features(store, in_memory=0)
    assert first.folder is not None
    assert first.folder.parent == tmp_path / "feats-search"
    read: list[int] = []
    again = open_features(store, in_memory=0, on_progress=lambda done, count: read.append(done))
    assert (again.folder, again.slide_ids, read) == (first.folder, ("a", "b"), [])
    assert np.array_equal(again.features, np.concatenate([bag.features[:] for bag in store.values()]))
    made_store(tmp_path / "other.zarr", {"b": 9}, seed=7)
    (tmp_path / "feats.zarr" / "b").rename(tmp_path / "old")
    (tmp_path / "other.zarr" / "b").rename(tmp_path / "feats.zarr" / "b")
    changed = open_features(open_store(tmp_path / "feats.zarr"), in_memory=0)
    assert changed.folder != first.folder
    assert np.array_equal(changed.features[12:], open_store(tmp_path / "feats.zarr")["b"].features[:])
    assert [path.name for path in (tmp_path / "feats-search").iterdir()] == [changed.folder.name]  # type: ignore[union-attr]
    with (changed.folder / FEATURES).open("ab") as file:  # type: ignore[operator]
        file.write(b"more")
    assert len(open_features(open_store(tmp_path / "feats.zarr"), in_memory=0)) == 21


def test_a_damaged_slide_is_left_out_until_it_is_mended(tmp_path: Path) -> None:
    store = made_store(tmp_path / "feats.zarr", {"a": 12, "b": 9})
    (shard,) = (tmp_path / "feats.zarr" / "b" / "features").glob("c/*/*")
    content = shard.read_bytes()
    shard.unlink()
    table = open_features(store, in_memory=0)
    assert (table.slide_ids, len(table)) == (("a",), 12)
    assert table.notes[0].startswith("left out, b/features: part of the array is missing")
    with pytest.raises(UsageError, match=r"^b: no features of that slide can be searched"):
        table.row("b", 0)
    shard.write_bytes(content)
    assert open_features(open_store(tmp_path / "feats.zarr"), in_memory=0).slide_ids == ("a", "b")


def test_what_cannot_be_searched_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^a: has no tile 25; they are 0 to 24"):
        similar_tiles(store, "a", 25)
    with pytest.raises(UsageError, match=r"^`k=0`: at least 1 is needed"):
        similar_tiles(store, "a", 0, k=0)
    with pytest.raises(UsageError, match="a search needs an example"):
        TileSearch(store).similar([])
    with pytest.raises(UsageError, match="no slide has tiles to search"):
        TileSearch(made_store(tmp_path / "none.zarr", {"a": 0}))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="features cannot be written for the search") as error:
        TileSearch(store, cache=tmp_path / "file", in_memory=0)
    assert "give `cache=`" in str(error.value)
    assert not list(tmp_path.glob(f"**/{SLIDES}"))


def test_a_tile_of_zeros_is_similar_to_none(tmp_path: Path) -> None:
    settings = make_settings(dim=2, clusters=None)
    writer = open_writer(tmp_path / "feats.zarr", settings)
    write_slide(writer, "a", Encoded(np.array([[1, 0], [0, 0], [-1, 0], [1, 1]], np.float32)))
    store = open_store(tmp_path / "feats.zarr")
    found = similar_tiles(store, "a", 0)
    assert [(tile.tile, tile.cosine) for tile in found] == [
        (3, pytest.approx(0.5**0.5)), (1, 0.0), (2, -1.0),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="the examples have no common direction"):
        similar_tiles(store, "a", 1)
