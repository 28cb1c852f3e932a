"""What `plot --geojson` writes: rasterised, it is what the store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import UsageError
from wsi_embed.plot import cluster_colour
from wsi_embed.plot.qupath import (
    PARTS,
    bag_features,
    cluster_polygons,
    parse_parts,
    write_bag,
)
from wsi_embed.regions import outlines
from wsi_embed.regions.raster import rasterise
from wsi_embed.store import Bag


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Bag:
    folder = tmp_path_factory.mktemp("export")
    slide = write_tiff(folder / "s.tif", he_pixels(640, 480, seed=3), mpp=0.5)
    wsi_embed.embed(slide, folder / "f.zarr", model=make_model(folder), overlap=8, min_tissue=0.1)
    slide.unlink()  # the store is enough
    return wsi_embed.open_store(folder / "f.zarr")["s"]


def rings(feature: dict[str, Any]) -> list[npt.NDArray[np.float64]]:
    return [np.array(ring, float) for ring in feature["geometry"]["coordinates"]]


def of_kind(bag: Bag, part: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in bag_features(bag, [part])]


def test_tissue_polygons_are_the_mask(bag: Bag) -> None:
    features = of_kind(bag, "tissue")
    assert bag.tissue_mask is not None
    mask, (sx, sy) = bag.tissue_mask[:] > 0, bag.attrs["tissue_mask_scale"]
    filled = rasterise([rings(f) for f in features], mask.shape, (sx, sy))
    assert np.array_equal(filled, mask)
    assert {f["properties"]["classification"]["name"] for f in features} == {"Tissue"}
    assert {f["properties"]["objectType"] for f in features} == {"annotation"}


def test_every_tile_is_a_square_in_its_clusters_colour(bag: Bag) -> None:
    features = of_kind(bag, "tiles")
    assert len(features) == len(bag) > 20
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    side = bag.attrs["extent"]
    clusters, confidence = bag.cluster[:].tolist(), bag.cluster_confidence[:].tolist()
    coords, fraction = bag.coords[:].tolist(), bag.tissue_fraction[:].tolist()
    quality = {name: values[:].astype(float).tolist() for name, values in bag.quality.items()}
    for row, feature in enumerate(features):
        cluster, (x, y), ring = clusters[row], coords[row], rings(feature)[0]
        assert ring.tolist() == [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert properties["classification"] == {
            "name": f"cluster {cluster}",
            "color": list(cluster_colour(cluster)),
        }
        assert properties["measurements"] == {
            "tissue_fraction": pytest.approx(fraction[row], abs=1e-4),
            **{name: pytest.approx(values[row], abs=1e-4) for name, values in quality.items()},
            "cluster": cluster,
            "cluster_confidence": pytest.approx(confidence[row], abs=1e-4),
        }


def test_cluster_regions_are_the_union_of_overlapping_tiles(bag: Bag) -> None:
    features = of_kind(bag, "clusters")
    tiles = of_kind(bag, "tiles")
    names = {f["properties"]["classification"]["name"] for f in tiles}
    assert len(names) > 1
    for name in names:
        region, union = (
            rasterise(
                [rings(f) for f in fs if f["properties"]["classification"]["name"] == name],
                (640, 480),
                (1, 1),
            )
            for fs in (features, tiles)
        )
        assert np.array_equal(region, union)
    assert all(f["properties"]["isLocked"] for f in features)


def test_coordinates_start_at_the_bounds_as_qupaths_do(bag: Bag) -> None:
    moved = Bag(bag.slide_id, bag.folder, dict(bag.attrs))
    moved.attrs["bounds"] = [100, 40, 300, 300]
    for before, after in zip(bag_features(bag), bag_features(moved), strict=True):
        for a, b in zip(rings(json.loads(before)), rings(json.loads(after)), strict=True):
            np.testing.assert_allclose(a - (100, 40), b, atol=0.01)


def test_ids_are_unique_and_stay(bag: Bag) -> None:
    ids = [json.loads(text)["id"] for text in bag_features(bag)]
    assert len(set(ids)) == len(ids)
    assert ids == [json.loads(text)["id"] for text in bag_features(bag)]


def test_what_is_written_can_be_read_as_regions(bag: Bag, tmp_path: Path) -> None:
    """Outlines corrected in QuPath go back in by --roi."""
    assert write_bag(tmp_path / "s.geojson", bag) == sum(len(of_kind(bag, part)) for part in PARTS)
    rules = wsi_embed.regions.RegionRules(include=("tissue",))
    regions = wsi_embed.regions.read_regions(tmp_path / "s.geojson", rules).placed(
        (480, 640), (0, 0, 480, 640)
    )
    assert bag.tissue_mask is not None
    mask = bag.tissue_mask[:] > 0
    assert np.array_equal(regions.mask(mask.shape, bag.attrs["tissue_mask_scale"]), mask)


def test_without_clusters_tiles_have_no_class(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "s.tif", he_pixels(200, 200, seed=3), mpp=0.5)
    model = make_model(tmp_path, clusters=None)
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=model, tissue="none")
    plain = wsi_embed.open_store(tmp_path / "f.zarr")["s"]
    assert of_kind(plain, "clusters") == []
    tiles = of_kind(plain, "tiles")
    assert len(tiles) == len(plain) > 0
    assert all(f["properties"].keys() == {"objectType", "measurements"} for f in tiles)


def test_an_empty_bag_is_an_empty_collection(tmp_path: Path) -> None:
    slide = write_tiff(tmp_path / "s.tif", np.full((200, 200, 3), 244, np.uint8), mpp=0.5)
    wsi_embed.embed(slide, tmp_path / "f.zarr", model=make_model(tmp_path))
    assert write_bag(tmp_path / "s.geojson", wsi_embed.open_store(tmp_path / "f.zarr")["s"]) == 0


@settings(max_examples=60)
@given(st.data(), st.integers(2, 9), st.integers(0, 4), st.integers(1, 6), st.integers(1, 6))
def test_cluster_polygons_cover_exactly_the_tiles(
    data: st.DataObject, stride: int, overlap: int, rows: int, columns: int
) -> None:
    extent = stride + overlap
    taken = data.draw(st.lists(st.integers(-1, 2), min_size=rows * columns, max_size=rows * columns))
    lattice = [(c * stride + 3, r * stride + 2) for r in range(rows) for c in range(columns)]
    coords = np.array([xy for xy, k in zip(lattice, taken, strict=True) if k >= 0], float).reshape(-1, 2)
    clusters = np.array([k for k in taken if k >= 0], np.int16)
    shape = (rows * stride + 20, columns * stride + 20)
    found = list(cluster_polygons(coords, float(extent), clusters))
    assert {p.label for p in found} == {f"cluster {k}" for k in clusters.tolist()}
    for cluster in set(clusters.tolist()):
        painted = np.zeros(shape, bool)
        for x, y in coords[clusters == cluster].astype(int).tolist():
            painted[y : y + extent, x : x + extent] = True
        mine = [p.rings for p in found if p.label == f"cluster {cluster}"]
        assert np.array_equal(rasterise(mine, shape, (1, 1)), painted)


@pytest.mark.parametrize("extent", [896.3, 448.51, 1000 / 3])
def test_neighbours_join_although_their_coordinates_are_rounded(extent: float) -> None:
    lattice = np.stack(np.meshgrid(np.arange(40), np.arange(30)), -1).reshape(-1, 2)
    (region,) = cluster_polygons(np.rint(lattice * extent), extent, np.zeros(len(lattice), np.int16))
    (ring,) = region.rings
    assert len(ring) == 4
    np.testing.assert_allclose(ring.max(0), (40 * extent, 30 * extent), atol=1)


def test_neighbours_of_different_clusters_share_their_side() -> None:
    """Although a side at 448.51 and a corner rounded to 449 are not the same number."""
    found = list(cluster_polygons(np.array([(0, 0), (449, 0)], float), 448.51, np.array([0, 1], np.int16)))
    assert [region.rings[0][:, 0].max() for region in found[:1]] == [found[1].rings[0][:, 0].min()] == [449]


def test_areas_do_not_depend_on_how_many_clusters_are_traced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    coords: npt.NDArray[np.float64] = np.stack(np.meshgrid(np.arange(20), np.arange(15)), -1).reshape(
        -1, 2
    ) * np.float64(10)
    clusters = draw.integers(0, 7, len(coords)).astype(np.int16)
    whole = list(cluster_polygons(coords, 14.0, clusters))
    monkeypatch.setattr(outlines, "CELLS", 3000)
    for a, b in zip(whole, cluster_polygons(coords, 14.0, clusters), strict=True):
        assert a.label == b.label
        assert all(np.array_equal(x, y) for x, y in zip(a.rings, b.rings, strict=True))


def test_parts() -> None:
    assert parse_parts("tissue, tiles,tissue") == ("tissue", "tiles")
    with pytest.raises(UsageError, match="`geojson_parts='tile'`: choose from tissue, clusters, tiles"):
        parse_parts("tissue,tile")
