from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.made_stores import batch_of, make_encoded, make_model, make_settings
from wsi_embed import Store, open_store
from wsi_embed.convert import convert
from wsi_embed.errors import UsageError
from wsi_embed.grid import ReadPlan, TileGrid
from wsi_embed.store import StoreSettings, StoreWriter

ROW_COL = np.array([[2, 3], [2, 4], [2, 9], [3, 3], [7, 40], [90, 4]], np.int32)
PRESETS: dict[str, dict[str, Any]] = {
    "titan": {"preset": "conch-v1.5", "dim": 768, "tile_px": 512, "extent": 1012.6},
    "prism": {"preset": "virchow", "dim": 2560, "tile_px": 224, "extent": 448.0},
}


def make_store(
    path: Path,
    *,
    preset: str | None,
    dim: int,
    tile_px: int,
    extent: float,
    stride: float | None = None,
    mpp: float = 0.5,
    about: Mapping[str, Any] | None = None,
) -> Store:
    """Two slides of a patient and one of another; tiles are `stride` level-0 pixels apart."""
    settings: StoreSettings = replace(make_settings(clusters=None, mpp=mpp, dim=dim), tile_px=tile_px)
    training = {**({"preset": preset} if preset else {}), **(about or {})}
    model = replace(make_model(settings), name="some model", training=training)
    writer = StoreWriter(path, settings, model)
    read = round(extent)
    scale = extent / read
    level = np.rint(ROW_COL[:, ::-1] * (stride or extent) / scale).astype(np.int32)
    plan = ReadPlan(0, read, tile_px, mpp)
    grid = TileGrid(plan, read, (scale, scale), ROW_COL, level, np.ones(len(ROW_COL), np.float32))
    for seed, (slide_id, patient) in enumerate({"s1": "ann", "s2": "ann", "t": "bo"}.items()):
        with writer.slide(slide_id, grid) as slide:
            slide.append(batch_of(make_encoded(len(ROW_COL), settings, seed), slice(None)))
            slide.commit({"mpp": 0.25, "patient": patient, "extent": extent, "tile_px": tile_px})
    return open_store(path)


def place(coords: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Cell of each tile, as TITAN computes it."""
    cells = (coords - coords.min(0)) // size
    return np.asarray(cells - cells.min(0))


@pytest.mark.parametrize("extent", [1012.6, 1013.4, 1024.0, 511.9996])
def test_titan_gets_every_tile_on_its_own_place(tmp_path: Path, extent: float) -> None:
    h5py = pytest.importorskip("h5py")
    store = make_store(tmp_path / "f.zarr", **{**PRESETS["titan"], "extent": extent})
    assert convert(store, "titan", tmp_path / "out").written == ["s1", "s2", "t"]
    with h5py.File(tmp_path / "out" / "s2.h5") as file:
        features, coords = file["features"][:], file["coords"][:]
        size = file["coords"].attrs["patch_size_level0"]
    assert (features.dtype, coords.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(features, store["s2"].features[:].astype(np.float32))
    np.testing.assert_array_equal(coords, store["s2"].coords[:])
    assert abs(size - extent) < 1
    np.testing.assert_array_equal(place(coords, int(size)), ROW_COL[:, ::-1] - ROW_COL[:, ::-1].min(0))
    assert convert(store, "titan", tmp_path / "out").skipped == ["s1", "s2", "t"]


def test_tiles_that_overlap_are_refused_for_titan(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    store = make_store(tmp_path / "f.zarr", **{**PRESETS["titan"], "extent": 1024.0, "stride": 900.0})
    done = convert(store, "titan", tmp_path / "out")
    assert done.written == []
    assert done.failed["s1"].startswith("s1: its tiles overlap or are not 1024 level-0 pixels apart")


def test_titan_takes_slides_and_not_patients(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    store = make_store(tmp_path / "f.zarr", **PRESETS["titan"])
    with pytest.raises(UsageError, match="leave `by='patient'` out"):
        convert(store, "titan", tmp_path / "out", by="patient")


def test_prism_gets_embeddings_of_slides_and_patients(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    store = make_store(tmp_path / "f.zarr", **PRESETS["prism"])
    convert(store, "prism", tmp_path / "out", labels={"s1": "no", "s2": "yes", "t": "no"})
    tiles = torch.load(tmp_path / "out" / "s2.pth", weights_only=True)["embeddings"]
    assert tiles.unsqueeze(0).shape == (1, len(ROW_COL), 2560)
    np.testing.assert_array_equal(tiles.numpy(), store["s2"].features[:].astype(np.float32))
    lines = (tmp_path / "out" / "labels.csv").read_text().splitlines()
    assert lines == ["bag,patient,class,label", "s1,ann,no,0", "s2,ann,yes,1", "t,bo,no,0"]
    convert(store, "prism", tmp_path / "patients", by="patient")
    joined = torch.load(tmp_path / "patients" / "ann.pth", weights_only=True)["embeddings"]
    np.testing.assert_array_equal(joined.numpy(), store.patients()["ann"].features[:].astype(np.float32))


@pytest.mark.parametrize("name", ["titan", "prism"])
@pytest.mark.parametrize(
    ("change", "has"),
    [
        ({"preset": "uni", "dim": 1024}, "preset uni, 1024 features"),
        ({"preset": "virchow2", "dim": 2560}, "preset virchow2, 2560 features"),
        ({"preset": None}, "no preset recorded"),
        ({"dim": 1280}, "1280 features"),
        ({"tile_px": 256}, "tiles of 256 px at 0.5 um"),
        ({"mpp": 1.0}, "px at 1 um"),
        ({"about": {"changed": ["std", "mean"]}}, "with another mean and std"),
    ],
)
def test_a_store_of_another_patch_encoder_is_refused(
    tmp_path: Path, name: str, change: dict[str, Any], has: str
) -> None:
    pytest.importorskip("torch" if name == "prism" else "h5py")
    store = make_store(tmp_path / "f.zarr", **{**PRESETS[name], **change})
    with pytest.raises(UsageError) as refused:
        convert(store, name, tmp_path / "out")
    message = str(refused.value)
    assert has in message
    assert f"(preset {PRESETS[name]['preset']}, {PRESETS[name]['dim']} features" in message
    assert "the store has those of some model (" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["titan", "prism"])
def test_the_needs_are_those_of_the_preset(name: str) -> None:
    from wsi_embed.convert.slide_encoders import Prism, Titan

    presets = pytest.importorskip("wsi_embed_export.presets").presets()
    needs = {"titan": Titan, "prism": Prism}[name].needs
    preset = presets[needs.preset]
    assert (preset.title, preset.feature_dim) == (needs.title, needs.feature_dim)
    assert (preset.tile_px, preset.mpp) == (needs.tile_px, needs.mpp)
