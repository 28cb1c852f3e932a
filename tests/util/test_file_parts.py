"""Parts of a file are the same with and without `os.pread`, for several threads too."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from wsi_embed.util.file_parts import open_to_read, read_at, seek_and_read


@pytest.mark.parametrize("read", [read_at, seek_and_read])
def test_threads_get_the_parts_that_they_read(read: Callable[[int, int, int], bytes], tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(100_000) + b"\r\n\x1a"
    path = tmp_path / "file"
    path.write_bytes(data)
    places = [(int(n), int(at)) for n, at in np.random.default_rng(1).integers(0, (999, 101_000), (2000, 2))]
    descriptor = open_to_read(path)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda place: read(descriptor, *place), places))
    finally:
        os.close(descriptor)
    assert found == [data[at : at + n] for n, at in places]
