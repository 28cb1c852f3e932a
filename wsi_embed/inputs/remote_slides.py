"""Slides in object storage and on web servers: which objects form a slide, by the same rules as for files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wsi_embed.errors import RemoteError, SlideError, UsageError
from wsi_embed.slide.dicom.files import DICOM_SUFFIXES, HEAD, named_as_dicom, series_in
from wsi_embed.slide.ome_zarr.detection import METADATA, describes_ome, is_foreign
from wsi_embed.slide.suffixes import named_as_slide
from wsi_embed.storage import objects
from wsi_embed.storage.address import Address
from wsi_embed.storage.objects import RemoteObject

DICOM, HAMAMATSU, MIRAX, VSI = (".dcm",), (".vms", ".vmu"), (".mrxs",), (".vsi",)
MULTI_FILE = (*DICOM_SUFFIXES, *HAMAMATSU, *MIRAX, *VSI)
# Sizes of the heads to read: the first nearly always contains the series of a DICOM file.
HEADS = (64 * 1024, HEAD)
REQUESTS_AT_ONCE = 32


@dataclass(frozen=True)
class RemoteSlide:
    """Slide in object storage or on a web server.

    Attributes:
        address: Address of its file, of the first of several, or of the folder of an OME-Zarr.
        roi: Address of its annotation file, from a manifest.
        listed: Its objects, if already known from a listing.
    """

    address: Address
    roi: Address | None = None
    listed: tuple[RemoteObject, ...] | None = None

    @cached_property
    def objects(self) -> tuple[RemoteObject, ...]:
        """Objects of the slide, including the one at `address`, and its annotations; requested once.

        Raises:
            SlideError: If there is no such object, or it cannot be read.
            RemoteError: If the server cannot be reached, or refuses.
        """
        asked = self.address
        try:
            found = self.listed if self.listed is not None else _request(self.address)
            if self.roi is None:
                return found
            asked = self.roi
            return (*found, objects.stat(self.roi))
        except FileNotFoundError as error:
            raise SlideError("there is no such object", where=asked, remedy="check the address") from error

    @property
    def size(self) -> int:
        """Total size of the objects in bytes."""
        return sum(found.size for found in self.objects)


def find_below(folder: Address) -> list[RemoteSlide]:
    """Return the slides below an address, at any depth.

    Raises:
        UsageError: If the address is a store.
        RemoteError: If the address cannot be listed.
    """
    found = {o.address.key: o for o in objects.below(folder)}
    images = _ome_zarr(folder, found)
    if (folder / "zarr.json").key in found and not images:
        raise UsageError("is a store, not a folder of slides", where=folder)
    zarrs = [RemoteSlide(image, listed=_zarr_objects(image, found.values())) for image in images]
    found = {key: o for key, o in found.items() if not any(_lies_in(key, image) for image in images)}
    named = [o for o in found.values() if _named_as_slide(o.address)]
    parts = {p.address.key for o in named if _suffix(o) in HAMAMATSU for p in slide_objects(o, found)[1:]}
    folders = {o.address.parent.key for o in named if _suffix(o) in DICOM}
    dicom = [o for o in found.values() if o.address.parent.key in folders and _may_be_dicom(o)]
    whole = [o for o in named if _suffix(o) not in DICOM and o.address.key not in parts]
    slides = [_slide(slide_objects(o, found)) for o in whole]
    groups = (group for group in by_series(dicom) if any(_suffix(o) in DICOM for o in group))
    slides += [_slide(group) for group in groups]
    return slides + zarrs


def _ome_zarr(folder: Address, found: Mapping[str, RemoteObject]) -> list[Address]:
    """Return the folders that are OME-Zarr images; only the root of each Zarr hierarchy is requested."""
    images, looked_at = list[Address](), list[Address]()
    for o in sorted(found.values(), key=lambda o: o.address.key.count("/")):
        root = o.address.parent
        if o.address.name not in METADATA or any(_lies_in(root.key, other) for other in looked_at):
            continue
        looked_at.append(root)
        metadata = [found[key] for name in METADATA if (key := (root / name).key) in found]
        if any(describes_ome(objects.read(each.address)) for each in metadata):
            images.append(root)
    return images


def _lies_in(key: str, folder: Address) -> bool:
    return not folder.key or key == folder.key or key.startswith(f"{folder.key}/")


def _zarr_objects(image: Address, found: Iterable[RemoteObject]) -> tuple[RemoteObject, ...]:
    """Return the objects of an OME-Zarr, without its label images, as `files_of` does for a folder."""
    start = len(image.key) + 1 if image.key else 0
    inside = (o for o in found if _lies_in(o.address.key, image) and not is_foreign(o.address.key[start:]))
    return tuple(sorted(inside, key=lambda o: o.address.key))


def _slide(found: Sequence[RemoteObject]) -> RemoteSlide:
    return RemoteSlide(found[0].address, listed=tuple(found))


def _named_as_slide(address: Address) -> bool:
    return named_as_slide(address.name) and not address.name.startswith("._")


def _may_be_dicom(found: RemoteObject) -> bool:
    """Return whether an object beside a `.dcm` may be of its series."""
    return named_as_dicom(Path(found.address.name))


def _suffix(found: RemoteObject) -> str:
    return found.address.suffix.lower()


def _request(address: Address) -> tuple[RemoteObject, ...]:
    """Return the objects of the slide whose first file is at an address."""
    suffix = address.suffix.lower()
    if suffix not in MULTI_FILE:
        return _file_or_zarr(address)
    if not address.listed:
        raise SlideError(
            "a slide of this format has several files, and a web server does not list them",
            where=address,
            remedy="copy it to s3://, gs:// or a folder",
        )
    first = objects.stat(address)
    around = objects.beside(address.parent)[1]
    if suffix in DICOM_SUFFIXES:
        series = by_series(filter(_may_be_dicom, around))
        return next(tuple(group) for group in series if first in group)
    below = objects.below(_folder_of(address)) if suffix in (*MIRAX, *VSI) else ()
    return tuple(slide_objects(first, {o.address.key: o for o in (*around, *below)}))


def _file_or_zarr(address: Address) -> tuple[RemoteObject, ...]:
    """Return the object at an address, or the objects of an OME-Zarr below it."""
    try:
        return (objects.stat(address),)
    except FileNotFoundError:
        below = {o.address.key: o for o in objects.below(address)} if address.listed else {}
        if address not in _ome_zarr(address, below):
            raise
        return _zarr_objects(address, below.values())


def _folder_of(address: Address) -> Address:
    """Return the folder with the other files of a MIRAX or VSI slide."""
    return address.parent / (f"_{address.stem}_" if address.suffix.lower() in VSI else address.stem)


def slide_objects(first: RemoteObject, there: Mapping[str, RemoteObject]) -> list[RemoteObject]:
    """Return the objects of a slide that is not DICOM, like `slide.fingerprint.slide_files` for local files.

    Args:
        first: Main file of the slide.
        there: Objects in the same folder and, for MIRAX and VSI, below its subfolder, by key.
    """
    address = first.address
    if _suffix(first) in (*MIRAX, *VSI):
        prefix = f"{_folder_of(address).key}/"
        return [first, *(o for key, o in sorted(there.items()) if key.startswith(prefix))]
    if _suffix(first) in HAMAMATSU:
        lines = objects.read(address).decode("latin-1").splitlines()
        values = {line.partition("=")[2].strip() for line in lines}
        keys = sorted((address.parent / v).key for v in values if v and "/" not in v)
        return [first, *(there[key] for key in keys if key in there and key != address.key)]
    return [first]


def by_series(files: Iterable[RemoteObject]) -> list[list[RemoteObject]]:
    """Group DICOM files into slides, by folder and series. A file without a series is a slide of its own."""
    ordered = sorted(files, key=lambda o: o.address.key)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, "wsi-embed-ask") as pool:
        series = list(pool.map(_series, ordered))
    groups: dict[tuple[str, bytes | str], list[RemoteObject]] = {}
    for found, uid in zip(ordered, series, strict=True):
        groups.setdefault((found.address.parent.key, uid or found.address.key), []).append(found)
    return list(groups.values())


def _series(found: RemoteObject) -> bytes | None:
    for size in HEADS:
        uid = series_in(objects.read_head(found.address, size)) if found.size else None
        if uid is not None or found.size <= size:
            return uid
    return None


def ask_ahead(slides: Sequence[RemoteSlide]) -> None:
    """Request the objects of many slides in parallel; errors are reported when a slide is used."""

    def ask(slide: RemoteSlide) -> None:
        with contextlib.suppress(SlideError, RemoteError):
            _ = slide.objects

    if slides:
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, "wsi-embed-ask") as pool:
            list(pool.map(ask, slides))
