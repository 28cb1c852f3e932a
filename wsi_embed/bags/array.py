"""Lazily read array of a bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import StorePath

from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import Place
from wsi_embed.storage.zarr_checks import CheckedObjects, zarr_store


class LazyArray:
    """Array in a store. It is read by slicing (`a[:]`, `a[10:20]`, `a[mask]`) and by `np.asarray(a)`.

    Args:
        array: The Zarr array.

    Attributes:
        zarr: The Zarr array.

    Raises:
        StoreError: If part of the array is missing or damaged, when it is read.

    Example:
        >>> import wsi_embed
        >>> features = next(iter(wsi_embed.open_store("feats.zarr").values())).features
        >>> features[:2].shape == (2, features.shape[1])
        True
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.zarr = array

    @property
    def _name(self) -> str:
        return "/".join(str(self.zarr.store_path).split("/")[-2:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.zarr.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return np.dtype(self.zarr.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        # index rows like NumPy, by numbers or a mask; Zarr itself expects one index per axis
        rows = isinstance(index, list | np.ndarray)
        try:
            values = np.asarray(self.zarr.oindex[np.asarray(index)] if rows else self.zarr[index])
        except (ValueError, OSError, RuntimeError) as error:  # wrong checksum, truncated object, bad disk
            raise StoreError(
                f"cannot be read ({error})", where=self._name, remedy="run wsi-embed verify"
            ) from error
        # Zarr reads a missing object as the fill value (NaN, -1), which is never stored otherwise.
        probe = values[..., 0] if values.ndim > 1 else values
        if probe.size and (np.isnan(probe).any() if probe.dtype.kind == "f" else (probe < 0).any()):
            raise StoreError(
                "part of the array is missing",
                where=self._name,
                remedy="run wsi-embed verify, then delete the slide's folder and run the job again",
            )
        return values

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"LazyArray(shape={self.shape}, dtype={self.dtype})"


def open_arrays(
    folder: Place, documents: Mapping[str, Any], objects: Mapping[str, Sequence[int]]
) -> Mapping[str, zarr.Array[Any]]:
    """Open the arrays of a group.

    Args:
        folder: Folder of the group.
        documents: Metadata documents of the arrays, by name.
        objects: Size in bytes and CRC-32 of the objects of the arrays, by key. They are compared when an
            object is read as a whole.
    """
    store = CheckedObjects(zarr_store(folder, read_only=True), objects)
    return {
        name: zarr.Array.from_dict(StorePath(store, name), document) for name, document in documents.items()
    }
