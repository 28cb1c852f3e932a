"""Verification of a store: checksums, missing and foreign objects, row counts, finite numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from wsi_embed.bags.bag import quality_arrays
from wsi_embed.errors import RemoteError, StoreError
from wsi_embed.storage.address import Location
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.store.group import complete_attributes
from wsi_embed.store.layout import (
    ArrayLayout,
    ChangedRootError,
    StoreSettings,
    array_documents,
    array_layouts,
    group_digest,
    is_group,
    written_objects,
)
from wsi_embed.store.members import slide_folders
from wsi_embed.store.reader import Store
from wsi_embed.store.structure import harmless, store_problems
from wsi_embed.util.progress import tracked


@dataclass(frozen=True)
class Problem:
    """Problem found in a store.

    Attributes:
        where: Slide id, or `store` for the root.
        what: Description of the problem.
    """

    where: str
    what: str


def verify(path: str | Location) -> list[Problem]:
    """Read a whole store and list its problems.

    Incomplete slides are no problem: readers do not see them, and the next run redoes them.

    Args:
        path: Folder or address of the store.

    Returns:
        Problems; empty if nothing is damaged, missing or unexpected.

    Raises:
        StoreError: If there is no store.
        RemoteError: If object storage cannot be reached, so that the state of the store is unknown.

    Example:
        >>> import wsi_embed
        >>> wsi_embed.verify("feats.zarr")
        []
    """
    try:
        store = Store(path)
    except ChangedRootError as error:
        return [Problem("store", error.what)]
    settings = StoreSettings(**store.attrs["settings"])
    problems: list[Problem] = []
    complete = {}
    for name in tracked(list(slide_folders(store.place)), "slides verified"):
        checked = _Slide(store.place / name, settings)
        problems += [Problem(name, what) for what in checked.problems()]
        if checked.attributes is not None:
            complete[name] = checked.attributes
    damaged = {problem.where for problem in problems}
    found = store_problems(store.place, settings.to_dict(), complete, damaged)
    return problems + [Problem("store", what) for what in found]


class _Slide:
    """Check of one slide.

    Attributes:
        attributes: Attributes of the slide; None if it is not complete.
    """

    def __init__(self, folder: Place, settings: StoreSettings) -> None:
        self.folder, self.settings = folder, settings
        self.attributes: dict[str, Any] | None = None

    def problems(self) -> Iterator[str]:
        """Describe the problems of the slide."""
        try:
            yield from self._problems()
        except StoreError as error:  # of an object that cannot be read
            yield str(error)

    def _problems(self) -> Iterator[str]:
        try:
            if not is_group(self.folder):
                yield from self._problems_without_group()
                return
            self.attributes = complete_attributes(self.folder, self.settings.to_dict())
        except StoreError as error:
            yield error.what
            return
        if self.attributes is None:
            return
        try:
            documents = array_documents(self.folder)
        except ValueError:
            yield "the metadata of an array cannot be parsed"
            return
        # nothing of the attributes is believed before their digest was compared
        if missing := [name for name in array_layouts(0, self.settings, None) if name not in documents]:
            yield f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            return
        if self.attributes.get("digest") != group_digest(self.attributes, documents):
            yield "attributes or array metadata were changed after they were written"
            return
        yield from _object_problems(self.folder, self.attributes["objects"], documents.keys())
        group = zarr.open_group(self.folder.zarr, mode="r", zarr_format=3, use_consolidated=False)
        shape = self.attributes.get("tissue_mask_shape")
        quality = quality_arrays(self.attributes)
        for name, layout in array_layouts(self.attributes["n_tiles"], self.settings, shape, quality).items():
            yield from _array_problems(group, name, layout, self.settings)

    def _problems_without_group(self) -> Iterator[str]:
        # a killed job may leave an empty folder, or one with a temporary file
        if self.folder.folders():
            yield f"{METADATA_FILE} is missing, so readers do not see the slide; the next run redoes it"
            return
        for key in self.folder.files():
            if not harmless(key):
                yield f"{key} is no part of the store"


def _object_problems(folder: Place, recorded: dict[str, list[int]], arrays: Iterable[str]) -> Iterator[str]:
    found = written_objects(folder)
    for key, (size, crc) in recorded.items():
        if key not in found:
            yield f"{key} is missing"
        elif found[key][0] != size:
            yield f"{key} has {found[key][0]} bytes, {size} were written"
        elif found[key][1] != crc:
            yield f"{key} is not the object that was written"
    documents = {METADATA_FILE, *(f"{name}/{METADATA_FILE}" for name in arrays)}
    for key in sorted(set(folder.files()) - recorded.keys() - documents):
        if key in found or not harmless(key):
            yield f"{key} was not there when the slide was written"


def _array_problems(
    group: zarr.Group, name: str, layout: ArrayLayout, settings: StoreSettings
) -> Iterator[str]:
    if name not in group:
        yield f"the array {name} is missing"
        return
    array: Any = group[name]
    if (array.shape, array.dtype) != (layout.shape, layout.dtype):
        yield f"{name} is {array.dtype} {array.shape}, expected {layout.dtype} {layout.shape}"
        return
    try:
        values = array[:]
    except RemoteError:
        raise
    except Exception as error:  # a checksum that does not match, a truncated object
        yield f"{name} cannot be read ({error})"
        return
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        yield f"{name} holds numbers that are not finite"
    if name == "cluster_confidence" and len(values) and not -1e-3 <= values.min() <= values.max() <= 1 + 1e-3:
        yield "cluster_confidence holds numbers outside 0 to 1"
    if name == "cluster" and len(values) and not 0 <= values.min() <= values.max() < (settings.clusters or 0):
        yield f"cluster holds numbers outside 0 to {(settings.clusters or 0) - 1}"
