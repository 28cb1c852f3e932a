"""HDF5 files written without the HDF5 library ever seeing the disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.convert.hdf5 import PAGE_BYTES, Hdf5File, SparseImage, write_h5

h5py = pytest.importorskip("h5py")

positions = st.integers(0, 3 * PAGE_BYTES)


@given(
    st.lists(st.tuples(positions, st.integers(1, 2 * PAGE_BYTES), st.integers(0, 255)), max_size=6),
    positions,
    st.integers(-1, 3 * PAGE_BYTES),
)
def test_an_image_reads_as_a_file_does(writes: list[tuple[int, int, int]], start: int, length: int) -> None:
    image, file = SparseImage(), io.BytesIO()
    for offset, size, value in writes:
        for target in (image, file):
            target.seek(offset)
            target.write(bytes([value]) * size)
    assert image.size == len(file.getvalue())
    for target in (image, file):
        target.seek(start)
    assert image.read(length) == file.read(length)
    image.seek(0)
    assert image.read() == file.getvalue()


def test_arrays_and_attributes_are_read_by_h5py(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "features": rng.standard_normal((5000, 7)).astype(np.float32),
        "coords": rng.integers(0, 99_999, (5000, 2))[:, ::-1],  # not contiguous
        "none": np.empty((0, 7), np.float16),
    }
    write_h5(tmp_path / "a.h5", arrays, {"/": {"tile": 256}, "coords": {"name": "slide ü", "overlap": 0}})
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == set(arrays)
        for name, values in arrays.items():
            assert file[name].dtype == values.dtype
            np.testing.assert_array_equal(file[name][:], values)
        assert dict(file.attrs) == {"tile": 256}
        assert dict(file["coords"].attrs) == {"name": "slide ü", "overlap": 0}


def test_an_array_comes_in_blocks_that_are_not_kept(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    with Hdf5File() as target:
        target.file["small"] = np.arange(4)
        target.add("x", (20, 3), np.float32, (values[n : n + 6] for n in range(0, 20, 6)))
        target.file["text"] = "after it"
        target.save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][:], values)
        assert file["small"][:].tolist() == [0, 1, 2, 3]
        assert file["text"].asstr()[()] == "after it"


@pytest.mark.parametrize("rows", [19, 21])
def test_blocks_have_to_fill_their_array(tmp_path: Path, rows: int) -> None:
    with Hdf5File() as target:
        target.add("x", (20, 3), np.float32, [np.zeros((rows, 3), np.float32)])
        with pytest.raises(ValueError, match=f"an array of 240 bytes has {rows * 12}"):
            target.save(tmp_path / "a.h5")
