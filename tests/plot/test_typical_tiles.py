"""The choice of typical tiles, against a slow one that reads everything at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed import Bag, StoreError, UsageError, WsiEmbedError, open_store
from wsi_embed.plot import typical_tiles as module
from wsi_embed.plot.typical_tiles import find_typical

Choice = list[tuple[int, int, int, list[tuple[str, int]]]]


def raising(slide_id: str, error: WsiEmbedError) -> None:
    raise error


def slow_choice(bags: dict[str, Bag], drawable: set[str], count: int) -> Choice:
    """The rule as its docstring says it, over all tiles at once."""
    tiles = []
    for slide_id in sorted(bags):
        bag = bags[slide_id]
        assert bag.cluster is not None
        assert bag.cluster_confidence is not None
        arrays = (bag.features[:], bag.cluster[:].tolist(), bag.cluster_confidence[:].tolist())
        for row, (feature, cluster, confidence) in enumerate(zip(*arrays, strict=True)):
            unit = feature.astype(float) / np.linalg.norm(feature.astype(float))
            tiles.append((slide_id, row, unit, cluster, confidence))
    chosen = []
    for cluster in {t[3] for t in tiles}:
        mine = [t for t in tiles if t[3] == cluster]
        mean = np.mean([t[2] for t in mine], axis=0)
        mean /= np.linalg.norm(mean)
        least = np.mean([t[4] for t in mine])
        waiting = []
        for slide_id in drawable:
            for unsure in (False, True):
                here = [t for t in mine if t[0] == slide_id and (t[4] < least - 1e-6) == unsure]
                here.sort(key=lambda t: (round(1 - float(t[2] @ mean), 9), t[1]))
                waiting += [
                    (unsure, rank, round(1 - float(t[2] @ mean), 9), slide_id, t[1])
                    for rank, t in enumerate(here)
                ]
        picks = [(w[3], w[4]) for w in sorted(waiting)[:count]]
        chosen.append((cluster, len(mine), len({t[0] for t in mine}), picks))
    return sorted(chosen, key=lambda c: (-c[1], c[0]))


def as_plain(clusters: list[module.Cluster]) -> Choice:
    return [(c.number, c.tiles, c.slides, [(t.slide_id, t.row) for t in c.typical]) for c in clusters]


def made_store(path: Path, sizes: list[int], clusters: int, seed: int = 0) -> dict[str, Bag]:
    made = make_settings(clusters=clusters)
    writer = open_writer(path, made)
    for index, n in enumerate(sizes):
        write_slide(writer, f"s{index}", make_encoded(n, made, seed=100 * seed + index))
    return dict(open_store(path).items())


@settings(max_examples=6)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any),
    clusters=st.integers(1, 6),
    count=st.integers(1, 9),
    seed=st.integers(0, 50),
    block=st.sampled_from([1, 7, 8192]),
    data=st.data(),
)
def test_the_choice_is_the_slow_one(
    sizes: list[int], clusters: int, count: int, seed: int, block: int, data: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    bags = made_store(tmp_path_factory.mktemp("t") / "f.zarr", sizes, clusters, seed)
    drawable = data.draw(st.sets(st.sampled_from(sorted(bags))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ROWS", block)
        found, read = find_typical(bags, drawable, count, raising)
    assert as_plain(found) == slow_choice(bags, drawable, count)
    assert read == len(bags)


def test_tiles_come_from_as_many_slides_as_possible(tmp_path: Path) -> None:
    bags = made_store(tmp_path / "f.zarr", [200, 200, 200, 200, 3], clusters=1)
    (cluster,), _ = find_typical(bags, set(bags), 8, raising)
    assert {t.slide_id for t in cluster.typical} == set(bags)
    assert max(sum(t.slide_id == slide_id for t in cluster.typical) for slide_id in bags) == 2


def test_a_damaged_bag_is_named_and_left_out(tmp_path: Path) -> None:
    made_store(tmp_path / "f.zarr", [20, 20, 20], clusters=2)
    (tmp_path / "f.zarr" / "s1" / "features" / "c" / "0" / "0").unlink()
    errors = []
    clusters, read = find_typical(
        open_store(tmp_path / "f.zarr"), {"s0", "s1"}, 4, lambda *e: errors.append(e)
    )
    assert [slide_id for slide_id, _ in errors] == ["s1"]
    assert isinstance(errors[0][1], StoreError)
    assert read == 2
    assert {t.slide_id for c in clusters for t in c.typical} == {"s0"}
    assert sum(c.tiles for c in clusters) == 40


def test_a_model_without_clusters_has_nothing_to_show(tmp_path: Path) -> None:
    made = make_settings(clusters=None)
    write_slide(open_writer(tmp_path / "f.zarr", made), "s", make_encoded(5, made))
    with pytest.raises(UsageError, match="no clusters"):
        find_typical(open_store(tmp_path / "f.zarr"), {"s"}, 4, raising)


def test_atypical_tiles_and_slides_of_each_cluster(tmp_path: Path) -> None:
    bags = made_store(tmp_path / "f.zarr", [20, 0, 33, 9], 2)
    found, _ = find_typical(bags, set(bags), 3, raising, atypical=5)
    for cluster in found:
        tiles = []
        for slide_id, bag in bags.items():
            features = bag.features[:].astype(float)
            features /= np.linalg.norm(features, axis=1, keepdims=True)
            mine = np.flatnonzero(np.asarray(bag.cluster) == cluster.number)
            tiles += [(slide_id, row, features[row]) for row in mine.tolist()]
            assert cluster.on_slides.get(slide_id, 0) == len(mine)
        mean = np.mean([unit for *_, unit in tiles], axis=0)
        mean /= np.linalg.norm(mean)
        waiting = []
        for slide_id in bags:
            here = sorted((round(float(u @ mean) - 1, 9), row) for name, row, u in tiles if name == slide_id)
            waiting += [(rank, distance, slide_id, row) for rank, (distance, row) in enumerate(here)]
        expected = [(slide_id, row) for *_, slide_id, row in sorted(waiting)[:5]]
        assert [(t.slide_id, t.row) for t in cluster.atypical] == expected
