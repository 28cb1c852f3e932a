from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance, files_of
from wsi_embed import Store
from wsi_embed.convert import convert, spatialdata
from wsi_embed.errors import StoreError

library: Any = pytest.importorskip("spatialdata")

REPO = Path(__file__).parents[2]


class TestSpatialData(FormatConformance):
    name = "spatialdata"
    breaks = (1, 90)

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        data = library.read_zarr(out / f"{bag}.zarr")
        corners = data["tiles"].loc[data["table"].obs["tile_id"]].bounds[["minx", "miny"]]
        return data["table"].X, corners.to_numpy()


def test_the_table_annotates_the_squares_of_the_tiles(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "spatialdata", tmp_path, labels=labels, missing="skip")
    data, bag = library.read_zarr(tmp_path / "b%202.zarr"), source["b%202"]
    assert bag.cluster is not None
    table, squares = library.join_spatialelement_table(data, "tiles", table_name="table")[::-1]
    x, y = bag.coords[:].T
    bounds = squares["tiles"].bounds.to_numpy()
    np.testing.assert_array_equal(
        bounds, np.stack([x, y, x + 64, y + 64], 1)
    )  # 32 px at twice the pixel size
    np.testing.assert_array_equal(squares["tiles"].area, 64**2)
    np.testing.assert_array_equal(table.obsm["spatial"], bounds.reshape(-1, 2, 2).mean(1))
    assert table.obs["cluster"].astype(int).tolist() == bag.cluster[:].tolist()
    for name, values in bag.quality.items():
        np.testing.assert_array_equal(table.obs[name], values[:].astype(np.float32))
    assert set(table.obs["label"]) == {"normal"}
    assert data.attrs["wsi_embed"]["model_id"] == table.uns["wsi_embed"]["model_id"] == source.model_id
    assert data.attrs["wsi_embed"]["size"] == [420, 400]
    assert set(data.coordinate_systems) == {"global", "microns"}
    microns = library.transform(data["tiles"], to_coordinate_system="microns")
    np.testing.assert_allclose(microns.bounds.to_numpy(), bounds * 0.25)


def test_a_query_by_place_finds_the_tiles_and_their_rows(
    source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    convert(source, "spatialdata", "a:b")  # a relative path that looks like an address
    data, bag = library.read_zarr(tmp_path / "a:b" / "a1.zarr"), source["a1"]
    low, high = np.array([40.0, 30.0]), np.array([100.0, 110.0])  # um
    found = library.bounding_box_query(
        data, axes=("x", "y"), min_coordinate=low, max_coordinate=high, target_coordinate_system="microns"
    )
    corners = bag.coords[:] * 0.5
    within = ((corners <= high) & (corners + 16 >= low)).all(1)
    assert 0 < within.sum() < len(bag)
    assert found["table"].obs["tile_id"].tolist() == np.flatnonzero(within).tolist()
    np.testing.assert_array_equal(found["table"].X, bag.features[:][within])


@pytest.mark.parametrize("damage", ["tables/table/X/c/0/0", "tables/table/obs/x/c/0"])
def test_what_was_not_written_is_noticed(
    source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(spatialdata, "on_disk", lambda folder: (folder / damage).unlink())
        with pytest.raises(StoreError, match="cannot be written"):
            convert(source, "spatialdata", tmp_path)
    assert files_of(tmp_path) == {}
    assert convert(source, "spatialdata", tmp_path).written == ["a1", "a2", "b%202"]


KILLED = """
import os, sys
from wsi_embed.convert import convert, spatialdata
slides = []
def dies(folder):
    slides.append(folder)
    if len(slides) == 2:
        os._exit(9)
spatialdata.on_disk = dies
convert(sys.argv[1], "spatialdata", sys.argv[2], labels=sys.argv[3], missing="skip", overwrite=True)
"""


def test_killed_while_it_replaces_what_is_there(source: Store, labels: Path, tmp_path: Path) -> None:
    out, new = tmp_path / "out", tmp_path / "new"
    convert(source, "spatialdata", out)
    before = files_of(out)
    command = [sys.executable, "-c", KILLED, str(source.path), str(out), str(labels)]
    assert subprocess.run(command, cwd=REPO, check=False).returncode == 9
    assert any((out / ".wsi-embed-convert" / "spatialdata" / "part").iterdir())
    convert(source, "spatialdata", new, labels=labels, missing="skip")
    after = files_of(new)
    assert files_of(out) == {
        name: content
        for files, replaced in ((after, True), (before, False))
        for name, content in files.items()
        if name.startswith("a1") is replaced
    }
    done = convert(source, "spatialdata", out, labels=labels, missing="skip", overwrite=True)
    assert (done.skipped, done.written) == (["a1"], ["a2", "b%202"])
    assert files_of(out) == after
    assert not (out / ".wsi-embed-convert" / "spatialdata" / "part").exists()
