"""Outputs of a teacher for tiles that are the same in every epoch, in a file of the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.atomic_files import replacing

Rows = npt.NDArray[np.void]
NO_CLUSTER = -1
# Half precision changes the length of a row by less than 0.001.
TOLERANCE = 0.01


def row_type(dim: int) -> np.dtype[np.void]:
    """Return the type of a row: `dim` features of length 1 in half precision, and a cluster."""
    return np.dtype([("features", np.float16, (dim,)), ("cluster", np.int16)])


def known(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return which rows hold outputs, bool [N].

    Other rows are zeros, or were half written when the machine failed: their features have another length.
    """
    length = np.linalg.norm(rows["features"].astype(np.float32), axis=1)
    return np.asarray(np.abs(length - 1) < TOLERANCE, np.bool_)


class TeacherCache:
    """Memory-mapped `.npy` file with a row for each tile, which all processes of a run share.

    Args:
        path: The file. Its name should depend on the teacher and the tiles.
        rows: Number of tiles.
        dim: Number of features.
    """

    def __init__(self, path: Path, rows: int, dim: int) -> None:
        self.path, self._rows, self._type = path, rows, row_type(dim)
        self._map: Any = None

    def __len__(self) -> int:
        return self._rows

    def create(self) -> None:
        """Create the file with all of its space, unless there is a complete one.

        Raises:
            WsiEmbedError: If there is no space for it.
        """
        if self._read() is not None:
            return
        try:
            with replacing(self.path) as temporary:
                written = np.lib.format.open_memmap(temporary, "w+", self._type, (self._rows,))
                with temporary.open("r+b") as file:
                    if hasattr(os, "posix_fallocate"):  # a full disk would otherwise end the process later
                        os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
                del written
        except OSError as error:
            size = self._rows * self._type.itemsize / 1e9
            raise WsiEmbedError(
                f"no space for {size:.1f} GB of the teacher's features ({error.strerror})",
                where=self.path,
                remedy="use `teacher_sees='view'`, which keeps none",
            ) from error

    def open(self) -> None:
        """Open the file, once it has been created."""
        self._map = self._read()

    def get(self, numbers: npt.NDArray[np.int64]) -> Rows:
        """Return a copy of the rows of tiles by number."""
        rows: Rows = self._map[numbers]
        return rows

    def put(self, numbers: npt.NDArray[np.int64], rows: Rows) -> None:
        """Store the rows of tiles by number."""
        self._map[numbers] = rows

    def _read(self) -> Any:
        """Return the memory map; None if there is no complete file."""
        try:
            found = np.lib.format.open_memmap(self.path, "r+")
        except (OSError, ValueError):
            return None
        return found if found.dtype == self._type and found.shape == (self._rows,) else None
