from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance, files_of
from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed import Store, open_store
from wsi_embed.convert import convert
from wsi_embed.store import Bag, PatientBag

pandas = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")


def read_row(out: Path, bag_id: str) -> dict[str, Any]:
    """Row of a bag, as pandas reads it."""
    table = pandas.read_parquet(next(out.glob("*.parquet")))
    column = "slide_id" if "slide_id" in table else "patient"
    (row,) = table[table[column] == bag_id].to_dict("records")
    return dict(row)


def expected(bag: Bag | PatientBag, clusters: int) -> tuple[Array, Array, Array]:
    """Mean, histogram and means within clusters, tile by tile."""
    assert bag.cluster is not None
    features, counts = bag.features[:].astype(np.float64), np.zeros(clusters)
    sums = np.zeros((clusters, features.shape[1]))
    for row, cluster in zip(features, bag.cluster[:], strict=True):
        counts[cluster] += 1
        sums[cluster] += row
    within = np.array([s / n if n else np.zeros_like(s) for s, n in zip(sums, counts, strict=True)])
    return sums.sum(0) / len(features), counts / len(features), within


class TestSlideVectors(FormatConformance):
    name = "slide-vectors"
    breaks = (0, 1)

    def file_name(self, bag: str) -> str:
        return bag

    def assert_is_bag(self, out: Path, bag: Bag | PatientBag, bag_id: str) -> None:
        row = read_row(out, bag_id)
        mean, histogram, within = expected(bag, 4)
        assert row["tiles"] == len(bag)
        assert row["patient"] == bag.patient
        assert row["mean"].dtype == np.float32
        np.testing.assert_allclose(row["mean"], mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(row["mean"], bag.mean())
        np.testing.assert_allclose(row["cluster_histogram"], histogram, rtol=1e-6)
        np.testing.assert_allclose(np.stack(row["cluster_mean"]), within, rtol=1e-6, atol=1e-7)

    def test_a_damaged_slide_fails_alone(self, source: Store, labels: Path, tmp_path: Path) -> None:
        shutil.copytree(source.path, tmp_path / "feats.zarr")
        shutil.rmtree(tmp_path / "feats.zarr" / "a2" / "features" / "c")
        done = self.convert(open_store(tmp_path / "feats.zarr"), tmp_path / "out", labels)
        assert sorted(done.written) == ["a1", "b%202"]
        assert "a2/features: part of the array is missing" in done.failed["a2"]
        assert pandas.read_parquet(tmp_path / "out" / "feats.parquet")["slide_id"].tolist() == ["a1", "b%202"]
        # mended: the table is written anew
        assert sorted(self.convert(source, tmp_path / "out", labels).written) == ["a1", "a2", "b%202"]
        self.convert(source, tmp_path / "whole", labels)
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_the_table_names_the_model_and_has_plain_columns(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "slide-vectors", tmp_path, labels=labels, missing="skip")
    table = parquet.read_table(tmp_path / "feats.parquet")
    vectors = ["mean", "cluster_histogram", "cluster_mean"]
    assert table.column_names == ["slide_id", "patient", "label", "tiles", *vectors]
    assert table["label"].to_pylist() == ["tumour", "tumour", "normal"]
    facts = json.loads(table.schema.metadata[b"wsi_embed"])
    assert facts["model_id"] == source.model_id
    assert (facts["model"], facts["clusters"], facts["tile_px"], facts["mpp"]) == ("tiny", 4, 32, 0.5)


def test_a_patient_has_no_slide_id(source: Store, tmp_path: Path) -> None:
    done = convert(source, "slide-vectors", tmp_path, by="patient")
    assert done.left_out == ["eve"]
    table = parquet.read_table(tmp_path / "feats.parquet")
    assert table.column_names[:2] == ["patient", "tiles"]
    assert table["patient"].to_pylist() == ["ann", "bo/1"]


def made(path: Path, clusters: int | None, slides: int = 1) -> Store:
    settings = make_settings(clusters=clusters)
    writer = open_writer(path, settings)
    for n in range(slides):
        write_slide(writer, f"s{n}", make_encoded(3, settings, seed=n))
    return open_store(path)


def test_a_cluster_without_tiles_is_zeros(tmp_path: Path) -> None:
    store = made(tmp_path / "f.zarr", clusters=9)  # for three tiles
    convert(store, "slide-vectors", tmp_path / "out")
    row = read_row(tmp_path / "out", "s0")
    within, shares = np.stack(row["cluster_mean"]), row["cluster_histogram"]
    assert within.shape == (9, 4)
    np.testing.assert_array_equal((within == 0).all(1), shares == 0)
    assert 6 <= (shares == 0).sum() < 9
    np.testing.assert_allclose(shares @ within, row["mean"], rtol=1e-5, atol=1e-6)


def test_a_store_without_clusters_has_means_only(tmp_path: Path) -> None:
    convert(made(tmp_path / "f.zarr", clusters=None), "slide-vectors", tmp_path / "out")
    table = parquet.read_table(tmp_path / "out" / "f.parquet")
    assert table.column_names == ["slide_id", "patient", "tiles", "mean"]
    assert json.loads(table.schema.metadata[b"wsi_embed"])["clusters"] is None


def test_slides_that_were_added_need_overwrite(tmp_path: Path) -> None:
    convert(made(tmp_path / "f.zarr", clusters=3), "slide-vectors", tmp_path / "out")
    more = made(tmp_path / "more" / "f.zarr", clusters=3, slides=2)
    with pytest.raises(Exception, match=r"other content for .*`overwrite=True` replaces it"):
        convert(more, "slide-vectors", tmp_path / "out")
    convert(more, "slide-vectors", tmp_path / "out", overwrite=True)
    assert parquet.read_table(tmp_path / "out" / "f.parquet")["slide_id"].to_pylist() == ["s0", "s1"]
