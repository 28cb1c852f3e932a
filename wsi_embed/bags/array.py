"""Lazily read array of a bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import zstd
from zarr.storage import StorePath

from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import Place
from wsi_embed.storage.zarr_checks import CheckedObjects, checksum, zarr_store

# Data types and codecs of the arrays that are read without Zarr, if a single object holds them.
PLAIN = frozenset({"int8", "int16", "int32", "float16", "float32"})
PLAIN_CODECS = (["bytes", "crc32c"], ["bytes", "zstd", "crc32c"])
CRC_BYTES = 4


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
            values = self._whole() if isinstance(index, slice) and index == slice(None) else None
            if values is None:
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

    def _whole(self) -> npt.NDArray[Any] | None:
        """Read the whole array faster than Zarr does, or return None if that is not possible."""
        return None

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"LazyArray(shape={self.shape}, dtype={self.dtype})"


class StoredArray(LazyArray):
    """Array of a group whose documents and objects are known.

    As a whole, an array of a single object is read without Zarr, in a tenth of the time.

    Args:
        folder: Folder of the group.
        name: Name of the array.
        document: Metadata document of the array.
        objects: Size in bytes and CRC-32 of the objects of the group, by key. They are compared when an
            object is read as a whole.
    """

    def __init__(
        self, folder: Place, name: str, document: Mapping[str, Any], objects: Mapping[str, Sequence[int]]
    ) -> None:
        self._folder, self._own_name, self._document, self._objects = folder, name, document, objects

    @cached_property
    def zarr(self) -> zarr.Array[Any]:  # type: ignore[override]
        """The Zarr array."""
        store = CheckedObjects(zarr_store(self._folder, read_only=True), self._objects)
        return zarr.Array.from_dict(StorePath(store, self._own_name), dict(self._document))

    @property
    def _name(self) -> str:
        return f"{self._folder.name}/{self._own_name}"

    def _whole(self) -> npt.NDArray[Any] | None:
        shape, dtype, codecs = (self._document.get(key) for key in ("shape", "data_type", "codecs"))
        grid = self._document["chunk_grid"]["configuration"]["chunk_shape"]
        names = [codec["name"] for codec in codecs or ()]
        key = "/".join([self._own_name, "c", *("0" for _ in shape or ())])
        if grid != shape or dtype not in PLAIN or names not in PLAIN_CODECS or key not in self._objects:
            return None
        try:
            content = self._folder.read(key)
        except FileNotFoundError:
            return None
        if checksum(content) != list(self._objects[key]):
            raise ValueError(f"{key} is not the object that was written")
        values: Any = memoryview(content)[:-CRC_BYTES]
        if "zstd" in names:
            values = zstd.Zstd().decode(values)
        return np.frombuffer(values, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)
