"""How many bytes compressed data hold, without a decoder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_formats.pixels import lzw
from wsi_embed.slide.subsampling import _lzw_bytes, _packbits_bytes


@settings(deadline=None, max_examples=30)
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
