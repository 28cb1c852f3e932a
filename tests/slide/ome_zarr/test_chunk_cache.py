"""Decoded chunks are kept within a limit."""

from __future__ import annotations

import numpy as np

from tests.made_formats.pixels import UInt8Array
from wsi_embed.slide.ome_zarr.chunk_cache import ChunkCache


def test_the_least_recently_used_goes_first() -> None:
    cache, decoded = ChunkCache(300), list[tuple[str, int]]()

    def get(level: str, chunk: int) -> UInt8Array:
        def decode() -> UInt8Array:
            decoded.append((level, chunk))
            return np.full(100, chunk, np.uint8)

        return cache.get(level, chunk, decode)

    for chunk in (0, 1, 2, 0, 3, 0):
        assert (get("a", chunk) == chunk).all()
    assert [chunk for _, chunk in decoded] == [0, 1, 2, 3]
    get("a", 1)
    assert decoded[-1] == ("a", 1)
    get("b", 1)
    assert decoded[-1] == ("b", 1)
    cache.forget("a")
    get("b", 1)
    assert len(decoded) == 6
    get("a", 1)
    assert len(decoded) == 7


def test_a_chunk_above_the_limit_is_kept_alone() -> None:
    cache, large = ChunkCache(10), np.zeros(100, np.uint8)
    level = object()
    assert cache.get(level, 0, lambda: large) is large
    assert cache.get(level, 0, lambda: np.ones(1, np.uint8)) is large
    cache.get(level, 1, lambda: np.ones(1, np.uint8))
    other = np.ones(100, np.uint8)
    assert cache.get(level, 0, lambda: other) is other
