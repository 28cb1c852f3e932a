"""Layers as the page receives them, against the store itself."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import wsi_embed
from tests.viewer.conftest import HOSTILE, Cohort
from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.geometry import bag_grid, tiles_at
from wsi_embed.plot import cluster_colour
from wsi_embed.plot.attention import ranks
from wsi_embed.regions.outlines import mask_outlines
from wsi_embed.store.attention import Attention
from wsi_embed.viewer.layers import (
    attention_layer,
    cluster_classes,
    contour_layer,
    hex_colour,
    tile_layer,
    tissue_layer,
)
from wsi_embed.viewer.packed import TYPES, pack


def unpack(document: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read a document as the page does (static/js/api.js)."""
    size = int.from_bytes(document[:4], "little")
    facts = json.loads(document[4 : 4 + size])
    start = 4 + size
    assert start % 4 == 0
    columns = {}
    for column in facts.pop("columns"):
        kind = np.dtype(column["type"]).newbyteorder("<")
        assert column["start"] % 4 == 0
        columns[column["name"]] = np.frombuffer(document, kind, column["length"], start + column["start"])
    return columns, facts


@pytest.mark.parametrize("kind", TYPES)
def test_columns_come_back_as_they_were(kind: str) -> None:
    values = np.arange(7).astype(kind)
    columns, facts = unpack(pack({"odd": values[:3], "all": values, "none": values[:0]}, {"ö": [None, 1.5]}))
    assert facts == {"ö": [None, 1.5]}
    assert {name: column.tolist() for name, column in columns.items()} == {
        "odd": values[:3].tolist(), "all": values.tolist(), "none": [],
    }  # fmt: skip


def test_tiles_have_the_stores_positions_and_clusters(cohort: Cohort) -> None:
    bag = wsi_embed.open_store(cohort.store)["a"]
    columns, facts = tile_layer(bag)
    np.testing.assert_array_equal(np.stack([columns["x"], columns["y"]], 1), bag.coords[:])
    np.testing.assert_array_equal(np.stack([columns["row"], columns["column"]], 1), bag.grid[:])
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    np.testing.assert_array_equal(columns["cluster"], bag.cluster[:])
    np.testing.assert_allclose(
        columns["confidence"] / 255, bag.cluster_confidence[:].astype(float), atol=0.5 / 255
    )
    assert facts["extent"] == bag.attrs["extent"]


def test_the_cell_of_a_position_has_the_tile_that_plot_draws_there(cohort: Cohort) -> None:
    bag = wsi_embed.open_store(cohort.store)["a"]
    columns, facts = tile_layer(bag)
    lattice = {(c, r): n for n, (c, r) in enumerate(zip(columns["column"], columns["row"], strict=True))}
    xs, ys = np.arange(0.5, 900, 7), np.arange(0.5, 700, 7)
    drawn = tiles_at(bag_grid(bag), xs, ys)
    for row, y in enumerate(ys):
        for column, x in enumerate(xs):
            cell = np.floor((np.array([x, y]) - facts["origin"]) / facts["step"]).astype(int)
            assert lattice.get((cell[0], cell[1]), -1) == drawn[row, column]


def test_the_outline_is_that_of_the_mask(cohort: Cohort) -> None:
    bag = wsi_embed.open_store(cohort.store)["a"]
    assert bag.tissue_mask is not None
    columns, facts = tissue_layer(bag)
    rings = [
        r for piece in mask_outlines(bag.tissue_mask[:] > 0, bag.attrs["tissue_mask_scale"]) for r in piece
    ]
    assert facts["known"]
    assert len(columns["starts"]) == len(rings) + 1
    for number, ring in enumerate(rings):
        start, end = columns["starts"][number : number + 2]
        np.testing.assert_allclose(columns["points"][start:end], ring, rtol=1e-6)


def test_contours_have_rings_holes_and_classes(session: Any) -> None:
    from wsi_embed.regions import slide_annotations

    shown = session.stores[0]
    polygons = slide_annotations(shown.items["a"].roi, (900, 700), (0, 0, 900, 700)).polygons
    columns, facts = contour_layer(polygons, shown.class_colours)
    assert [each["name"] for each in facts["classes"]] == ["annotation", HOSTILE]
    assert [facts["classes"][n]["name"] for n in columns["ring_class"]] == [HOSTILE, HOSTILE, "annotation"]
    assert columns["points"][columns["starts"][1]].tolist() == [200, 200]


def test_attention_is_ranked_for_each_class(cohort: Cohort) -> None:
    bag, found = wsi_embed.open_store(cohort.store)["a"], Attention(cohort.attention)["a"]
    columns, facts = attention_layer(found, bag, "dsmil")
    assert facts["classes"] == ["normal", HOSTILE]
    assert facts["shown"] == 1
    for number in (0, 1):
        expected = np.rint(255 * ranks(found.attention[:, number]))
        np.testing.assert_array_equal(columns[f"rank{number}"], expected)
    assert len(facts["palette"]) == 256
    assert (facts["palette"][0], facts["palette"][255]) == ("#440154", "#fde725")


def test_clusters_of_one_name_are_one_class() -> None:
    names = ClusterNames({0: "stroma", 2: "stroma"}, {2: (1, 2, 3)})
    classes = cluster_classes(names, 4, Counter({0: 5, 1: 3, 2: 2}))
    assert [(each["name"], each["members"], each["tiles"]) for each in classes] == [
        ("stroma", [0, 2], 7), ("cluster 1", [1], 3), ("cluster 3", [3], 0),
    ]  # fmt: skip
    assert classes[0]["colour"] == "#010203"
    assert classes[1]["colour"] == hex_colour(cluster_colour(1))
