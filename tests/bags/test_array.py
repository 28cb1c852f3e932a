"""Arrays of a bag: reading as a whole without Zarr gives what Zarr gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import StoreError

NAMES = ("features", "coords", "grid", "tissue_fraction", "cluster", "cluster_confidence", "tissue_mask")


@pytest.fixture(scope="module", params=["float16", "float32"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    slide = write_tiff(folder / "s.tif", he_pixels(300, 200, seed=3), mpp=0.5)
    wsi_embed.embed(slide, folder / "f.zarr", model=make_model(folder), dtype=request.param)
    return folder / "f.zarr"


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_is_what_zarr_reads(name: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = getattr(wsi_embed.open_store(store)["s"], name)
    expected = np.asarray(array.zarr[:])
    monkeypatch.setattr(type(array), "zarr", None)
    whole = array[:]
    np.testing.assert_array_equal(whole, expected)
    assert whole.dtype == expected.dtype
    assert whole.flags.writeable
    assert whole.flags.owndata


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_object_and_a_changed_one_are_errors(name: str, store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "f.zarr"))
    (path,) = (path for path in (copy / "s" / name / "c").rglob("*") if path.is_file())
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    array = getattr(wsi_embed.open_store(copy)["s"], name)
    with pytest.raises(StoreError, match=f"^s/{name}: cannot be read .*not the object that was written"):
        array[:]
    path.unlink()
    with pytest.raises(StoreError, match=f"^s/{name}: part of the array is missing"):
        array[:]


def test_parts_and_larger_arrays_are_read_by_zarr(store: Path) -> None:
    features = wsi_embed.open_store(store)["s"].features
    np.testing.assert_array_equal(features[1:3], features[:][1:3])
    np.testing.assert_array_equal(features[[2, 0]], features[:][[2, 0]])
    assert features.shape == features[:].shape
    assert features.dtype == features[:].dtype
