from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.storage import MemoryStore

from tests.storage.server import Server
from wsi_embed.errors import RemoteError, StoreError
from wsi_embed.storage import Address, objects
from wsi_embed.storage.zarr_objects import ZarrObjects


@pytest.fixture
def store(bucket: Address) -> ZarrObjects:
    store = ZarrObjects(bucket / "deep/group")
    group = zarr.create_group(store, zarr_format=3)
    group.create_array("a", data=np.arange(10), chunks=(5,))
    group.create_group("b")
    objects.write(bucket / "deep/group2/x", b"")
    return store


def numbers(store: ZarrObjects) -> list[int]:
    """The array's content."""
    return [int(n) for n in np.asarray(zarr.open_array(store, path="a", mode="r")[:])]


def test_members_are_listed(store: ZarrObjects) -> None:
    assert sorted(name for name, _ in zarr.open_group(store, mode="r").members()) == ["a", "b"]


def test_keys_and_sizes_are_those_below_the_address(store: ZarrObjects, bucket: Address) -> None:
    async def keys(prefix: str | None) -> list[str]:
        return sorted([key async for key in (store.list() if prefix is None else store.list_prefix(prefix))])

    array = ["a/c/0", "a/c/1", "a/zarr.json"]
    assert asyncio.run(keys("a")) == array
    assert asyncio.run(keys(None)) == [*array, "b/zarr.json", "zarr.json"]
    sizes = {key: len(objects.read(bucket / "deep/group" / key)) for key in array}
    assert {key: asyncio.run(store.getsize(key)) for key in array} == sizes
    assert asyncio.run(store.getsize_prefix("a")) == sum(sizes.values())
    assert zarr.open_array(store, path="a", mode="r").nbytes_stored() == sum(sizes.values())


@pytest.mark.parametrize("key", ["a", ""])
def test_a_listing_that_fails_is_no_empty_one(store: ZarrObjects, server: Server, key: str) -> None:
    with server.failing("GET /", "500"), pytest.raises(RemoteError):
        asyncio.run(store.getsize_prefix(key))


def test_another_process_opens_it_again(store: ZarrObjects) -> None:
    again = pickle.loads(pickle.dumps(store.with_read_only(True)))
    assert again.read_only
    assert again == store
    assert numbers(again) == list(range(10))


def test_a_group_is_deleted_and_nothing_beside_it(store: ZarrObjects, bucket: Address) -> None:
    group = zarr.open_group(store)
    del group["a"]
    left = sorted(found.address.key for found in objects.below(bucket))
    assert left == ["deep/group/b/zarr.json", "deep/group/zarr.json", "deep/group2/x"]


@pytest.mark.parametrize("key", ["zarr.json", "c/1"])
def test_what_cannot_be_read_is_no_hole(
    store: ZarrObjects, bucket: Address, server: Server, key: str
) -> None:
    """Zarr takes an object that is not there for fill values; one that the server keeps back it must not."""
    with (
        server.failing(f"GET /{bucket.host}/deep/group/a/{key}", "500"),
        pytest.raises(RemoteError, match="the server keeps failing"),
    ):
        zarr.open_array(store, path="a", mode="r")[:]


def test_writing_that_goes_on_failing_says_so(store: ZarrObjects, bucket: Address, server: Server) -> None:
    array = zarr.open_array(store, path="a")
    with server.failing(f"PUT /{bucket.host}/deep/group/a/c/0", "503"), pytest.raises(RemoteError):
        array[:5] = 7
    assert numbers(store) == list(range(10))


def test_a_large_object_is_written_by_one_request(store: ZarrObjects, server: Server) -> None:
    group, since = zarr.open_group(store), len(server.seen)
    group.create_array("large", shape=(8 * 2**20,), dtype="u1", chunks=(8 * 2**20,), compressors=None)[:] = 1
    assert server.count("POST ", since) == 0


@pytest.mark.parametrize("what", ["huge", "endless"])
@pytest.mark.parametrize("key", ["zarr.json", "c/1"])
def test_a_wrong_length_names_the_object(
    store: ZarrObjects, bucket: Address, server: Server, key: str, what: str
) -> None:
    with (
        server.failing(f"GET /{bucket.host}/deep/group/a/{key}", what),
        pytest.raises(StoreError, match=f"deep/group/a/{key}: the server (announces|sends)"),
    ):
        zarr.open_array(store, path="a", mode="r")[:]


def test_parts_are_as_in_a_local_store(store: ZarrObjects, bucket: Address) -> None:
    whole = objects.read(bucket / "deep/group/a/c/0")
    parts = [None, RangeByteRequest(3, 9), OffsetByteRequest(5), SuffixByteRequest(4)]
    local = MemoryStore({"a/c/0": cpu.Buffer.from_bytes(whole)})

    async def read(zarr_store: Store) -> list[bytes]:
        asked = [("a/c/0", part) for part in parts]
        found = await zarr_store.get_partial_values(default_buffer_prototype(), asked)
        single = [await zarr_store.get(key, default_buffer_prototype(), part) for key, part in asked]
        return [value.to_bytes() for value in (*found, *single) if value is not None]

    assert asyncio.run(read(store)) == asyncio.run(read(local))
    assert asyncio.run(store.get("a/c/9", default_buffer_prototype())) is None
