from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.made_stores import make_settings
from wsi_embed.store.layout import CHUNK_BYTES, SHARD_BYTES, ArrayLayout, array_layouts

MIB = 2**20

tiles = st.one_of(st.integers(0, 5000), st.integers(0, 2_000_000))
dims = st.integers(1, 4096)
dtypes = st.sampled_from(["float16", "float32"])


def row_bytes(layout: ArrayLayout) -> int:
    return np.dtype(layout.dtype).itemsize * math.prod(layout.shape[1:])


@given(tiles, dims, dtypes)
def test_chunks_and_shards_stay_within_their_sizes(n: int, dim: int, dtype: str) -> None:
    for layout in array_layouts(n, make_settings(dtype, dim)).values():
        assert layout.chunk_rows >= 1
        assert layout.chunk_rows * row_bytes(layout) <= 4 * MIB
        assert layout.shard_rows * row_bytes(layout) <= 64 * MIB
        assert layout.shard_rows % layout.chunk_rows == 0


@given(tiles, dims, dtypes)
def test_no_chunk_is_small_when_there_are_several(n: int, dim: int, dtype: str) -> None:
    for layout in array_layouts(n, make_settings(dtype, dim)).values():
        if layout.chunk_rows < n:
            assert layout.chunk_rows * row_bytes(layout) > 1 * MIB


@given(tiles, dims, dtypes)
def test_padding_is_less_than_one_row_a_chunk(n: int, dim: int, dtype: str) -> None:
    for layout in array_layouts(n, make_settings(dtype, dim)).values():
        chunks = math.ceil(n / layout.chunk_rows)
        assert 0 <= chunks * layout.chunk_rows - n < max(1, chunks)


@given(st.integers(1, 50_000), dtypes)
def test_features_that_fit_are_one_shard(n: int, dtype: str) -> None:
    layout = array_layouts(n, make_settings(dtype, 512))["features"]
    if n * row_bytes(layout) <= SHARD_BYTES - CHUNK_BYTES:
        assert layout.shard_rows >= n


def test_one_chunk_needs_no_shard() -> None:
    assert not array_layouts(100, make_settings())["features"].sharded


@pytest.mark.parametrize("clusters", [None, 20])
def test_cluster_arrays_exist_only_with_a_cluster_head(clusters: int | None) -> None:
    names = array_layouts(7, make_settings(clusters=clusters)).keys()
    assert {"features", "coords", "grid", "tissue_fraction"} <= names
    assert ({"cluster", "cluster_confidence"} <= names) is (clusters is not None)
