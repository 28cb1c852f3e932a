"""Verification of a store: checksums, missing objects, row counts, finite numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from wsi_embed.errors import RemoteError, StoreError
from wsi_embed.storage.address import Location
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.store.layout import (
    StoreSettings,
    array_layouts,
    group_digest,
    read_attributes,
    written_objects,
)
from wsi_embed.store.reader import Store
from wsi_embed.util.digest import canonical_digest


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
    store = Store(path)
    problems: list[Problem] = []
    covered = {k: v for k, v in store.attrs.items() if k != "digest"}
    if store.attrs.get("digest") != canonical_digest(covered):
        problems.append(Problem("store", "the root attributes were changed after they were written"))
        return problems
    settings = StoreSettings(**store.attrs["settings"])
    for folder in map(store.place.__truediv__, store.place.folders()):
        problems += [Problem(folder.name, what) for what in _slide_problems(folder, settings)]
    return problems


def _slide_problems(folder: Place, settings: StoreSettings) -> Iterator[str]:
    if folder.state(METADATA_FILE) is None:
        # a killed job may leave a folder of plain files, without arrays
        if folder.folders():
            yield f"{METADATA_FILE} is missing, so readers do not see the slide; the next run redoes it"
        return
    try:
        attributes = read_attributes(folder)
    except StoreError as error:
        yield str(error)
        return
    if attributes.get("complete") is not True:
        if "objects" in attributes:
            yield "it was complete once, but its `complete` mark is damaged"
        return
    try:
        if attributes.get("digest") != group_digest(folder, attributes):
            yield "attributes or array metadata were changed after they were written"
            return
    except ValueError:
        yield "the metadata of an array cannot be parsed"
        return
    yield from _object_problems(folder, attributes["objects"])
    group = zarr.open_group(folder.zarr, mode="r", zarr_format=3, use_consolidated=False)
    shape = attributes.get("tissue_mask_shape")
    for name, layout in array_layouts(attributes["n_tiles"], settings, shape).items():
        yield from _array_problems(group, name, layout.shape, settings)


def _object_problems(folder: Place, recorded: dict[str, list[int]]) -> Iterator[str]:
    found = written_objects(folder)
    for key, (size, crc) in recorded.items():
        if key not in found:
            yield f"{key} is missing"
        elif found[key][0] != size:
            yield f"{key} has {found[key][0]} bytes, {size} were written"
        elif found[key][1] != crc:
            yield f"{key} is not the object that was written"
    for key in sorted(found.keys() - recorded.keys()):
        yield f"{key} was not there when the slide was written"


def _array_problems(
    group: zarr.Group, name: str, shape: tuple[int, ...], settings: StoreSettings
) -> Iterator[str]:
    if name not in group:
        yield f"the array {name} is missing"
        return
    array: Any = group[name]
    if array.shape != shape:
        yield f"{name} has shape {array.shape}, expected {shape}"
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
    if name == "cluster" and len(values) and not 0 <= values.min() <= values.max() < (settings.clusters or 0):
        yield f"cluster holds numbers outside 0 to {(settings.clusters or 0) - 1}"
