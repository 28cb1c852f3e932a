from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.conformance import Array, FormatConformance
from tests.convert.conftest import LABELS
from wsi_embed import Store
from wsi_embed.bags.geometry import lattice
from wsi_embed.convert import convert

torch = pytest.importorskip("torch")
datasets = pytest.importorskip("torchmil.datasets")
models = pytest.importorskip("torchmil.models")
collate_fn = pytest.importorskip("torchmil.data").collate_fn


class TestTorchmil(FormatConformance):
    name = "torchmil"
    has_coords = False

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        data: Any = datasets.ProcessedMILDataset(
            features_path=str(out / "features"),
            coords_path=str(out / "coords"),
            bag_keys=["X", "coords", "adj"],
            bag_names=[bag],
        )
        return data[0]["X"].numpy(), None


def test_its_data_set_trains_a_graph_model(source: Store, labels: Path, tmp_path: Path) -> None:
    convert(source, "torchmil", tmp_path, labels=labels, missing="skip")
    data: Any = datasets.ProcessedMILDataset(
        features_path=str(tmp_path / "features"),
        labels_path=str(tmp_path / "labels"),
        coords_path=str(tmp_path / "coords"),
        bag_keys=["X", "Y", "adj", "coords"],
    )
    assert data.get_bag_names() == list(LABELS)
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=3, collate_fn=collate_fn)))
    assert batch["Y"].tolist() == [1, 1, 0]
    model = models.MILModelWrapper(models.SmABMIL(in_shape=(8,)))
    batch["adj"] = batch["adj"].float()
    _, losses = model.compute_loss(batch)
    assert torch.isfinite(sum(losses.values()))


@pytest.mark.parametrize("by", ["slide", "patient"])
def test_it_says_the_same_as_our_own_data_set(source: Store, labels: Path, tmp_path: Path, by: Any) -> None:
    convert(source, "torchmil", tmp_path, labels=labels, by=by, missing="skip")
    theirs: Any = datasets.ProcessedMILDataset(
        features_path=str(tmp_path / "features"),
        labels_path=str(tmp_path / "labels"),
        coords_path=str(tmp_path / "coords"),
        bag_keys=["X", "Y", "adj", "coords"],
    )
    ours = source.torch_dataset(labels, by=by, missing="skip", style="torchmil", adjacency=True)
    assert len(theirs) == len(ours)
    for index in range(len(ours)):
        for key in ("X", "Y", "coords"):
            assert torch.equal(theirs[index][key], ours[index][key]), key
        torch.testing.assert_close(theirs[index]["adj"].to_dense().float(), ours[index]["adj"].to_dense())


def test_neighbours_are_one_apart_at_any_resolution(source: Store, tmp_path: Path) -> None:
    convert(source, "torchmil", tmp_path)
    for slide_id in LABELS:
        xy = np.load(tmp_path / "coords" / f"{slide_id}.npy")
        np.testing.assert_array_equal(xy, lattice(source[slide_id]))
        step = source[slide_id].attrs["extent"] * 24 / 32
        where = source[slide_id].coords[:] - source[slide_id].coords[:].min(0)
        np.testing.assert_allclose((xy - xy.min(0)) * step, where, atol=1)
