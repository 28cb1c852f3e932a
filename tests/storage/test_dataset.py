"""A store on S3 feeds PyTorch, in this process and in workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wsi_embed
from tests.storage.server import Server
from wsi_embed.errors import RemoteError
from wsi_embed.storage import Address

torch = pytest.importorskip("torch")


@pytest.fixture
def store(uploaded: Address, bucket: Address, model: Path) -> wsi_embed.Store:
    wsi_embed.embed(uploaded, bucket / "f.zarr", model=model)
    return wsi_embed.open_store(str(bucket / "f.zarr"))


def test_spawned_workers_read_it(store: wsi_embed.Store) -> None:
    bags = store.torch_dataset()
    loader = torch.utils.data.DataLoader(
        bags, batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    for item, bag in zip(loader, store.values(), strict=True):
        assert item["id"] == bag.slide_id
        np.testing.assert_array_equal(item["features"].numpy(), bag.features[:].astype(np.float32))
        np.testing.assert_array_equal(item["coords"].numpy(), bag.coords[:])


def test_a_server_that_fails_is_no_missing_bag(
    store: wsi_embed.Store, server: Server, bucket: Address
) -> None:
    bags = store.torch_dataset()
    with server.failing(f"GET /{bucket.host}/f.zarr/a", "500"), pytest.raises(RemoteError):
        bags[0]
    with server.failing(f"GET /{bucket.host}", "500"), pytest.raises(RemoteError):
        store["a"]
    with pytest.raises(KeyError):
        store["gone"]
