"""Detection of OME-Zarr (NGFF 0.1 to 0.5), in folders and zip archives, and its files."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from wsi_embed.slide.suffixes import ZIPPED_ZARR

# Files with the attributes of a group, in Zarr 3 and Zarr 2.
METADATA = ("zarr.json", ".zattrs")
# Attributes of images, of plates and their wells, and of the output of bioformats2raw.
IMAGE = frozenset({"multiscales", "omero", "plate", "well", "bioformats2raw.layout"})
MASK = "image-label"
# Group with the label images (segmentations) of an image. They are results, not part of the slide.
LABELS = "labels"
ZIP_START = b"PK"
# Bytes of a group's attributes; consolidated metadata of a plate with 100,000 images stay below it.
MOST_JSON = 1 << 26


def is_ome_zarr(folder: Path, files: Collection[str] | None = None) -> bool:
    """Return whether a folder is an OME-Zarr image or plate, by its metadata or its name.

    Args:
        folder: The folder.
        files: Names of its files, if known.
    """
    if folder.name.lower().endswith(".ome.zarr"):
        return True
    named = (name for name in METADATA if files is None or name in files)
    return any(describes_ome(_read(folder / name)) for name in named)


def is_zipped_ome_zarr(file: Path) -> bool:
    """Return whether a file is a zipped OME-Zarr, by its name or its content.

    Raises:
        OSError: If the file cannot be read.
    """
    if file.name.lower().endswith(ZIPPED_ZARR):
        return True
    with file.open("rb") as data:
        if data.read(len(ZIP_START)) != ZIP_START:
            return False
    try:
        with zipfile.ZipFile(file) as packed:
            root = zip_root(packed)
            return any(describes_ome(read_member(packed, name)) for name in root_metadata(packed, root))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return False  # a damaged or encrypted archive of any kind


def zip_root(packed: zipfile.ZipFile) -> str:
    """Return the folder of the archive that is the Zarr hierarchy's root, with `/` at its end.

    It is empty if the root's metadata are at the top, as the specification of `.ozx` demands; whoever zips a
    folder puts them one folder below.
    """
    names = [PurePosixPath(name) for name in packed.namelist() if PurePosixPath(name).name in METADATA]
    top = min(names, key=lambda name: len(name.parts), default=None)
    return f"{top.parent}/" if top is not None and len(top.parts) == 2 else ""


def images_side_by_side(packed: zipfile.ZipFile) -> list[str]:
    """Return the folders at the top of an archive that are OME-Zarr images each, by their metadata."""
    names = [name for name in packed.namelist() if name.count("/") == 1 and name.endswith(METADATA)]
    folders = {name.split("/")[0] for name in names if describes_ome(read_member(packed, name))}
    return sorted(folders)


def read_member(packed: zipfile.ZipFile, name: str) -> bytes:
    """Return the content of a member of an archive; nothing if it has more than `MOST_JSON` bytes."""
    return packed.read(name) if packed.getinfo(name).file_size <= MOST_JSON else b""


def root_metadata(packed: zipfile.ZipFile, root: str) -> list[str]:
    """Return the names of the root's files with attributes that an archive holds."""
    there = set(packed.namelist())
    return [root + name for name in METADATA if root + name in there]


def describes_ome(document: bytes) -> bool:
    """Return whether the attributes of a Zarr group are those of an OME image or plate."""
    found = ome_attributes(document)
    return bool(IMAGE & found.keys()) and MASK not in found


def ome_attributes(document: bytes) -> dict[str, Any]:
    """Return the attributes of a Zarr group as OME defines them; empty if there are none.

    Args:
        document: Content of `zarr.json` or `.zattrs`.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, dict) and "zarr_format" in found:
        found = found.get("attributes")
    if isinstance(found, dict) and isinstance(found.get("ome"), dict):
        found = found["ome"]
    return found if isinstance(found, dict) else {}


def files_of(folder: Path) -> list[Path]:
    """Return the files of a slide in an OME-Zarr folder, in the order of their names.

    Label images and files of macOS are left out.

    Links to folders are followed, once each, so that a loop of links ends.

    Raises:
        OSError: If a folder in it cannot be listed.
    """
    found: list[str] = []
    linked = {os.path.realpath(folder)}
    for root, folders, files in os.walk(folder, onerror=_fail, followlinks=True):
        folders[:] = [
            name for name in sorted(folders) if name != LABELS and _is_new(f"{root}/{name}", linked)
        ]
        found += [f"{root}/{name}" for name in files if not _of_macos(name)]
    return [Path(name) for name in sorted(found)]


def _is_new(folder: str, linked: set[str]) -> bool:
    """Return whether a folder is no link, or the first to its target, which is added to those linked.

    A link to a folder that it lies in leads nowhere new.
    """
    if not os.path.islink(folder):
        return True
    target, place = os.path.realpath(folder), os.path.realpath(os.path.dirname(folder))
    new = target not in linked and not f"{place}/".startswith(f"{target.rstrip('/')}/")
    linked.add(target)
    return new


def is_foreign(relative: str) -> bool:
    """Return whether a file of an OME-Zarr is no part of the slide: of label images, or written by macOS.

    Args:
        relative: Path relative to the root, with `/`.
    """
    *folders, name = relative.split("/")
    return LABELS in folders or _of_macos(name)


def _of_macos(name: str) -> bool:
    return name == ".DS_Store" or name.startswith("._")


def _fail(error: OSError) -> None:
    raise error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
