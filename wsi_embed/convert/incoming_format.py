"""Interface of foreign formats that are read, and shared functions for reading feature files."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.util.extras import needs_extra


@dataclass(frozen=True)
class Given:
    """Facts given by the user because the files may lack them.

    Attributes:
        encoder: Name of the model; selects one of several.
        mpp: Micrometres per pixel of a tile.
        tile_px: Side of a tile, pixels.
    """

    encoder: str | None = None
    mpp: float | None = None
    tile_px: int | None = None


@dataclass(frozen=True)
class ForeignTiles:
    """Tiles of a slide as another tool saved them.

    Attributes:
        features: Features [N, D], in the file's dtype.
        coords: Top-left corners, (x, y) in level-0 pixels, int64 [N, 2].
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
        extent: Side of a tile, level-0 pixels.
        overlap: Overlap of neighbouring tiles, tile pixels.
        size: (width, height) of level 0; None if unknown.
        mpp_source: Origin of the resolution.
    """

    features: npt.NDArray[np.floating[Any]]
    coords: npt.NDArray[np.int64]
    tile_px: int
    mpp: float
    extent: float
    overlap: int
    size: tuple[int, int] | None
    mpp_source: str


class Source(ABC):
    """Features computed by another tool.

    Args:
        folder: Folder of the features.
        given: Facts given by the user.

    Attributes:
        name: Value of `--from`.
        encoder: Name of the model, or `unknown`.
        files: Feature file of each slide, by slide name.

    Raises:
        UsageError: If there are no features, or those of several models.
        MissingExtraError: If a library is not installed.
    """

    name: ClassVar[str]
    encoder: str
    files: dict[str, Path]

    def __init__(self, folder: Path, given: Given) -> None:
        self.folder, self.given = folder, given
        with needs_extra("convert", f"reading features of {self.name}"):
            import h5py  # noqa: F401
        if not folder.is_dir():
            raise UsageError("no such folder", where=folder, remedy="check the path")
        features = self.find()
        self.files = {path.stem: path for path in sorted(features.glob("*.h5"))}
        if not self.files:
            raise UsageError("no .h5 files of features there", where=features, remedy="check the path")

    @abstractmethod
    def find(self) -> Path:
        """Return the folder of the feature files, and set `encoder`.

        Raises:
            UsageError: If there is no such folder, or several.
        """

    @abstractmethod
    def tiling_file(self, slide: str) -> Path | None:
        """Return the file that describes the tiling of a slide, if it exists."""

    @abstractmethod
    def read(self, slide: str) -> ForeignTiles:
        """Read the tiles of a slide.

        Raises:
            SlideError: If a file is damaged or incomplete.
        """


def read_h5(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read the arrays of an HDF5 file, and the attributes of its `coords`.

    Raises:
        SlideError: If the file cannot be read, or has no coordinates.
    """
    import h5py

    with _readable(path), h5py.File(path) as file:
        arrays = {name: file[name][()] for name in ("features", "coords") if name in file}
        attributes = dict(file["coords"].attrs)
    coords = arrays["coords"]
    if coords.ndim != 2 or coords.shape[1] != 2 or (coords < 0).any():
        raise SlideError(f"coords {coords.shape} are not non-negative (x, y) positions", where=path.name)
    features = arrays.get("features")
    if features is not None and (features.ndim != 2 or len(features) != len(coords)):
        raise SlideError(f"features {features.shape} do not go with coords {coords.shape}", where=path.name)
    if features is not None and not (finite := np.isfinite(features).all(axis=1)).all():
        row = int(np.flatnonzero(~finite)[0])
        raise SlideError(f"features of row {row} are not finite", where=path.name, remedy="extract it again")
    return arrays, attributes


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, RuntimeError) as error:
        raise SlideError(
            f"cannot be read as a file of features ({error})", where=path.name, remedy="make it again"
        ) from error


def number(attributes: Mapping[str, Any], name: str) -> float | None:
    """Return an attribute as a positive number; None if it is missing or marked as unknown."""
    value = np.asarray(attributes.get(name)).ravel()
    try:
        found = float(value[0])
    except (IndexError, TypeError, ValueError):
        return None
    return found if 0 < found < float("inf") else None
