"""torchmil's models and collate function take our bags as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.bags.labels.made_labels import make_store
from tests.bags.test_dataset import BY_PATIENT, LABELS
from wsi_embed.bags.dataset import adjacency_of
from wsi_embed.bags.geometry import lattice
from wsi_embed.store import Store

torch = pytest.importorskip("torch")
models = pytest.importorskip("torchmil.models")
collate_fn = pytest.importorskip("torchmil.data").collate_fn
graphs = pytest.importorskip("torchmil.utils")

SMALL: dict[str, Any] = {"TransMIL": {"att_dim": 8, "n_heads": 2}, "CLAM_SB": {"k_sample": 2}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("torchmil") / "feats.zarr")


def batch_of(store: Store, **options: Any) -> Any:
    data = store.torch_dataset(LABELS, style="torchmil", **options)
    return next(iter(torch.utils.data.DataLoader(data, batch_size=5, collate_fn=collate_fn)))


def test_a_batch_is_padded_with_its_mask(store: Store) -> None:
    batch = batch_of(store, adjacency=True)
    assert batch["X"].shape == (5, 9, 4)
    assert (batch["Y"].tolist(), batch["coords"].shape) == ([1, 1, 0, 0, 1], (5, 9, 2))
    assert batch["mask"].sum(1).tolist() == [5, 9, 4, 3, 2]
    assert batch["adj"].shape == (5, 9, 9)
    features = store["b1"].features[:].astype(np.float32)
    np.testing.assert_array_equal(batch["X"][2, :4].numpy(), features)


@pytest.mark.parametrize("name", ["ABMIL", "DSMIL", "TransMIL", "CLAM_SB", "SmABMIL"])
def test_a_model_trains_a_step(store: Store, name: str) -> None:
    torch.manual_seed(0)
    model = models.MILModelWrapper(getattr(models, name)(in_shape=(4,), **SMALL.get(name, {})))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    logits, losses = model.compute_loss(batch_of(store, adjacency=name == "SmABMIL"))
    assert logits.shape == (5,)
    loss = sum(losses.values())
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert any(not torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_adjacency_is_torchmils(store: Store) -> None:
    for bag in (store["a2"], store.patients()["ann"], store["d.2024"]):
        xy = lattice(bag)
        edges, weights = graphs.build_adj(xy, dist_thr=1.5)
        dense = np.zeros((len(xy), len(xy)), np.float32)
        dense[edges[0], edges[1]] = graphs.normalize_adj(edges, weights, n_nodes=len(xy))
        found = adjacency_of(xy)
        assert found.is_coalesced()
        np.testing.assert_allclose(found.to_dense().numpy(), dense)
    assert adjacency_of(np.zeros((1, 2), np.int64)).to_dense().tolist() == [[1]]


def test_by_patient_no_tiles_of_two_slides_touch(store: Store) -> None:
    data = store.torch_dataset(BY_PATIENT, by="patient", missing="skip", style="torchmil", adjacency=True)
    adjacency = data[0]["adj"].to_dense().numpy()
    assert adjacency[:5, :5].any()
    assert not adjacency[:5, 5:].any()
