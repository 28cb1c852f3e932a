"""Just enough OME-Zarr (NGFF 0.1 to 0.5) to tell a folder that is a slide from other folders.

Its pixels are not read: it is found so that it fails by its name, and what is in it is not searched.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from wsi_embed.slide.suffixes import FOREIGN_SUFFIXES

# What holds the attributes of a group: of Zarr 2, and of Zarr 3.
METADATA = (".zattrs", "zarr.json")
# Attributes of an image, of a plate and its wells, of what bioformats2raw writes, and of all in version 0.5.
IMAGE = frozenset({"multiscales", "omero", "plate", "well", "bioformats2raw.layout"})
MASK = "image-label"
KIND = FOREIGN_SUFFIXES[".ozx"]
REASON = f"{KIND} is a format that nothing here reads"
REMEDY = "convert it to DICOM or a pyramidal TIFF"


def is_ome_zarr(folder: Path, files: Collection[str] | None = None) -> bool:
    """Whether a folder is an OME-Zarr image or plate, by its metadata or by its name.

    Args:
        folder: The folder.
        files: Names of the files in it, where they are known.
    """
    if folder.name.lower().endswith(".ome.zarr"):
        return True
    named = (name for name in METADATA if files is None or name in files)
    return any(describes_ome(_read(folder / name)) for name in named)


def describes_ome(document: bytes) -> bool:
    """Whether the attributes of a Zarr group are those of an image or plate of OME."""
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        return False
    if isinstance(found, dict) and "zarr_format" in found:
        found = found.get("attributes")
    if isinstance(found, dict) and isinstance(found.get("ome"), dict):
        found = found["ome"]
    return isinstance(found, dict) and bool(IMAGE & found.keys()) and MASK not in found


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
