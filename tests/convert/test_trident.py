from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance, files_of
from wsi_embed import Store
from wsi_embed.convert import convert

h5py = pytest.importorskip("h5py")

JOB = "20x_32px_8px_overlap"


class TestTrident(FormatConformance):
    name = "trident"

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        with h5py.File(out / JOB / "features_tiny" / f"{bag}.h5") as file:
            features, coords = file["features"][:], file["coords"][:]
        with h5py.File(out / JOB / "patches" / f"{bag}_patches.h5") as file:
            np.testing.assert_array_equal(file["coords"][:], coords)
        assert (features.dtype, coords.dtype) == (np.float32, np.int64)
        return features, coords


def test_attributes_are_those_that_trident_writes(source: Store, tmp_path: Path) -> None:
    convert(source, "trident", tmp_path / "out")
    geometry = {
        "patch_size": 32,
        "patch_size_level0": 64,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 8,
        "level0_width": 420,
        "level0_height": 400,
        "name": "b%202",
        "savetodir": JOB,
    }
    for path in (f"{JOB}/features_tiny/b%202.h5", f"{JOB}/patches/b%202_patches.h5"):
        with h5py.File(tmp_path / "out" / path) as file:
            assert dict(file["coords"].attrs) == geometry
    with h5py.File(tmp_path / "out" / JOB / "features_tiny" / "a1.h5") as file:
        assert file["coords"].attrs["patch_size_level0"] == 32
        assert dict(file["features"].attrs) == {"encoder": "tiny", "name": "a1", "savetodir": JOB}


def test_torchmils_reader_of_trident_takes_it(source: Store, labels: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchmil.datasets")
    convert(source, "trident", tmp_path, labels=labels, missing="skip")
    data: Any = datasets.TridentWSIDataset(
        base_path=f"{tmp_path / JOB}/",
        labels_path=str(tmp_path / "labels.csv"),
        feature_extractor="tiny",
        wsi_names=["a1", "a2"],
        bag_keys=["X", "Y", "adj", "coords"],
        patch_size=32,
        wsi_name_col="slide_id",
        wsi_label_col="label",
    )
    bag = data[0]
    np.testing.assert_array_equal(bag["X"].numpy(), source["a1"].features[:].astype(np.float32))
    assert bag["Y"].tolist() == [1]
    assert bag["adj"].shape == (len(source["a1"]),) * 2


def test_lists_that_are_no_longer_asked_for_go(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "trident", tmp_path, labels=labels, missing="skip")
    assert "labels.csv" in files_of(tmp_path)
    convert(source, "trident", tmp_path, overwrite=True)
    assert "labels.csv" not in files_of(tmp_path)
    assert convert(source, "trident", tmp_path).written == []
