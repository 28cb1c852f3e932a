"""How many bytes compressed data hold, without a decoder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Zstd

from tests.made_formats.pixels import lzw
from wsi_embed.slide.tiff.subsampling import _lzw_bytes, _packbits_bytes, _zstd_bytes


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 20_000), st.sampled_from([1, 2, 8, 256]))
def test_lzw_is_counted_beyond_the_end_of_its_table(seed: int, count: int, values: int) -> None:
    data = np.random.default_rng(seed).integers(0, values, count, np.uint8).tobytes()
    assert _lzw_bytes(lzw(data)) == count


@pytest.mark.parametrize(
    ("data", "count"), [(b"", 0), (b"\0a", 1), (b"\x02abc", 3), (b"\xffa", 2), (b"\x81a", 128), (b"\x80", 0)]
)
def test_packbits_is_counted(data: bytes, count: int) -> None:
    assert _packbits_bytes(data) == count
    assert _packbits_bytes(data + b"\0a") == count + 1


def zstd_of_blocks(data: bytes, side: int, repeats: int = 0) -> bytes:
    """A frame without its size, as libtiff writes it: raw blocks, and one of a repeated byte."""
    frame = b"\x28\xb5\x2f\xfd\x00\x50"
    for at in range(0, len(data), side):
        part = data[at : at + side]
        frame += (len(part) << 3).to_bytes(3, "little") + part
    return frame + (repeats << 3 | 3).to_bytes(3, "little") + b"a"


@pytest.mark.parametrize("count", [1, 70_000, 300_000])
def test_zstd_is_counted_with_and_without_its_size(count: int) -> None:
    data = np.random.default_rng(1).integers(0, 99, count, np.uint8).tobytes()
    assert _zstd_bytes(bytes(Zstd().encode(data))) == count
    assert _zstd_bytes(zstd_of_blocks(data, 50_000, 7)) == count + 7


def test_zstd_that_is_damaged_or_too_large_is_not_counted() -> None:
    assert _zstd_bytes(b"no frame") is None
    assert _zstd_bytes(zstd_of_blocks(b"abc", 2)[:-4]) is None
    assert _zstd_bytes(zstd_of_blocks(bytes(1000), 1, 1 << 17)) is None  # may hold 128 MB
