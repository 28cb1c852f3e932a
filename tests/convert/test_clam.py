from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance
from tests.convert.conftest import LABELS
from wsi_embed import Store
from wsi_embed.convert import convert

h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")


class TestClam(FormatConformance):
    name = "clam"

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        tensor = torch.load(out / "pt_files" / f"{bag}.pt")
        with h5py.File(out / "h5_files" / f"{bag}.h5") as file:
            features, coords = file["features"][:], file["coords"][:]
        assert (tensor.dtype, features.dtype, coords.dtype) == (torch.float32, np.float32, np.int32)
        np.testing.assert_array_equal(tensor.numpy(), features)
        return features, coords


def test_the_data_set_is_listed_by_case_and_slide(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "clam", tmp_path, labels=labels, missing="skip")
    with (tmp_path / "dataset.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case_id"] for row in rows] == ["ann", "ann", "bo/1"]
    assert {row["slide_id"]: row["label"] for row in rows} == LABELS
    assert all((tmp_path / "pt_files" / f"{row['slide_id']}.pt").is_file() for row in rows)


def test_the_tiling_gives_tiles_of_the_right_size(source: Store, tmp_path: Path) -> None:
    convert(source, "clam", tmp_path)
    for slide_id, bag in source.items():
        if not len(bag):
            continue
        with h5py.File(tmp_path / "patches" / f"{slide_id}.h5") as file:
            attrs, coords = dict(file["coords"].attrs), file["coords"][:]
        # CLAM reads patch_size pixels of patch_level, at level-0 coordinates
        assert attrs["patch_size"] * attrs["downsample"][0] == bag.attrs["extent"]
        assert attrs["patch_level"] == bag.attrs["level"]
        np.testing.assert_allclose(attrs["level_dim"] * attrs["downsample"], bag.attrs["size"], atol=4)
        np.testing.assert_array_equal(coords, bag.coords[:])
