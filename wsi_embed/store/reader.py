"""Read a store: bags of tiles, lazily."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import zarr

from wsi_embed.errors import StoreError
from wsi_embed.store.array import LazyArray
from wsi_embed.store.layout import FORMAT_VERSION, METADATA_FILE, read_attributes


class Bag:
    """All tiles of one slide. Arrays are read when they are sliced: `bag.features[:]`.

    Attributes:
        slide_id: Id of the slide.
        attrs: What the store says of the slide (mpp, extent, tile_px, ...).
    """

    def __init__(self, slide_id: str, group: zarr.Group) -> None:
        self.slide_id, self._group = slide_id, group
        self.attrs: dict[str, Any] = dict(group.attrs)

    def __len__(self) -> int:
        return int(self.attrs["n_tiles"])

    def __repr__(self) -> str:
        return f"Bag({self.slide_id!r}, {len(self)} tiles)"

    @property
    def patient(self) -> str | None:
        """The patient from the manifest, if it said one."""
        return self.attrs.get("patient")

    @property
    def features(self) -> LazyArray:
        """float16 or float32 [N, D]."""
        return self._array("features")

    @property
    def coords(self) -> LazyArray:
        """Top-left corners (x, y), level-0 pixels, int32 [N, 2]."""
        return self._array("coords")

    @property
    def grid(self) -> LazyArray:
        """(row, col), int32 [N, 2]."""
        return self._array("grid")

    @property
    def tissue_fraction(self) -> LazyArray:
        """Share of each tile that is tissue, float16 [N]."""
        return self._array("tissue_fraction")

    @property
    def cluster(self) -> LazyArray | None:
        """Cluster of each tile, int16 [N]; None where the model has no cluster head."""
        return self._array("cluster") if "cluster" in self._group else None

    @property
    def cluster_confidence(self) -> LazyArray | None:
        """Softmax probability of that cluster, float16 [N], or None."""
        return self._array("cluster_confidence") if "cluster_confidence" in self._group else None

    @property
    def tissue_mask(self) -> LazyArray | None:
        """Where tissue was found within the ROI, int8 [h, w] of 0 and 1, over the whole of level 0.

        `attrs["tissue_mask_scale"]` holds the level-0 pixels of a mask pixel, (x, y). None where the
        store was written without it.
        """
        return self._array("tissue_mask") if "tissue_mask" in self._group else None

    def _array(self, name: str) -> LazyArray:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise StoreError(f"{self.slide_id}: {name} is not an array; run wsi-embed verify")
        return LazyArray(array)


class Store(Mapping[str, Bag]):
    """A store as a mapping from slide id to bag. Slides that are not complete do not exist.

    Attributes:
        path: The store's folder.
        attrs: Root attributes: `format_version`, `model_id`, `model`, `settings`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / METADATA_FILE).is_file():
            raise StoreError(f"{self.path}: no store there; check the path")
        self.attrs = read_attributes(self.path)
        found = self.attrs.get("format_version")
        if found != FORMAT_VERSION:
            raise StoreError(
                f"{self.path}: "
                + (
                    "not a wsi-embed store"
                    if found is None
                    else f"format {found}, this wsi-embed reads {FORMAT_VERSION}"
                )
            )

    @property
    def model_id(self) -> str:
        """Digest of the model that made the features."""
        return str(self.attrs["model_id"])

    @property
    def slide_ids(self) -> list[str]:
        """Ids of all complete slides, sorted."""
        return list(self)

    def __getitem__(self, slide_id: str) -> Bag:
        if not self._complete(slide_id):
            raise KeyError(f"{slide_id}: no complete slide of that id in {self.path}")
        folder = self.path / slide_id
        return Bag(slide_id, zarr.open_group(folder, mode="r", zarr_format=3, use_consolidated=False))

    def __iter__(self) -> Iterator[str]:
        for folder in sorted(p.parent for p in self.path.glob(f"*/{METADATA_FILE}")):
            if self._complete(folder.name):
                yield folder.name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def incomplete(self) -> list[str]:
        """Names of groups that are not complete: the next run redoes them."""
        groups = sorted(p.name for p in self.path.iterdir() if p.is_dir())
        return [name for name in groups if not self._complete(name)]

    def _complete(self, slide_id: str) -> bool:
        if not slide_id or "/" in slide_id:
            return False
        try:
            return read_attributes(self.path / slide_id).get("complete") is True
        except StoreError:  # nothing there, or a damaged document: `verify` says more
            return False


def open_store(path: str | Path) -> Store:
    """Open a store for reading.

    Args:
        path: The folder that `wsi-embed ... --out` wrote.

    Returns:
        A mapping from slide id to `Bag`.

    Raises:
        StoreError: There is no store, or it has a format this version does not read.
    """
    return Store(path)
