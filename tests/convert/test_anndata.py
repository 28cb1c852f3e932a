from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance
from wsi_embed import Store
from wsi_embed.convert import convert

scanpy = pytest.importorskip("scanpy")


class TestAnnData(FormatConformance):
    name = "anndata"

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        tiles: Any = scanpy.read_h5ad(out / f"{bag}.h5ad")
        return tiles.X, tiles.obs[["x", "y"]].to_numpy()


class TestAnnDataJoined(FormatConformance):
    name = "anndata-joined"
    breaks = (0, 1, 2)

    def file_name(self, bag: str) -> str:
        return bag

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        tiles: Any = scanpy.read_h5ad(out / "feats.h5ad")
        column = "patient" if bag in ("ann", "bo/1", "eve") else "slide"
        mine = tiles[tiles.obs[column] == bag]
        return mine.X, mine.obs[["x", "y"]].to_numpy()


def test_scanpy_works_on_a_slide(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "anndata", tmp_path, labels=labels, missing="skip")
    tiles: Any = scanpy.read_h5ad(tmp_path / "b%202.h5ad")
    bag = source["b%202"]
    assert bag.cluster is not None
    assert bag.cluster_confidence is not None
    assert tiles.X.dtype == np.float32
    np.testing.assert_array_equal(tiles.obsm["spatial"], bag.coords[:] + 32)  # the middle of 64 pixels
    np.testing.assert_array_equal(tiles.obs[["row", "col"]].to_numpy(), bag.grid[:])
    assert tiles.obs["cluster"].cat.categories.tolist() == ["0", "1", "2", "3"]
    assert tiles.obs["cluster"].astype(int).tolist() == bag.cluster[:].tolist()
    for name in ("cluster_confidence", "tissue_fraction"):
        np.testing.assert_array_equal(tiles.obs[name], getattr(bag, name)[:].astype(np.float32))
    assert set(tiles.obs["slide"]) == {"b%202"}
    assert set(tiles.obs["patient"]) == {"bo/1"}
    assert set(tiles.obs["label"]) == {"normal"}
    assert tiles.obs_names.is_unique
    facts = tiles.uns["wsi_embed"]
    assert (facts["model"], facts["tile_px"], facts["mpp"], facts["extent"]) == ("tiny", 32, 0.25, 64)
    scanpy.pp.pca(tiles, n_comps=3)
    assert tiles.obsm["X_pca"].shape == (len(bag), 3)


def test_one_file_has_all_slides_in_order(source: Store, tmp_path: Path) -> None:
    convert(source, "anndata-joined", tmp_path)
    tiles: Any = scanpy.read_h5ad(tmp_path / "feats.h5ad")
    assert tiles.obs["slide"].tolist() == [
        slide_id for slide_id, bag in source.items() for _ in range(len(bag))
    ]
    np.testing.assert_array_equal(tiles.X, np.concatenate([bag.features[:] for bag in source.values()]))
    assert tiles.obs_names.is_unique
