"""Detection of OME-Zarr folders (NGFF 0.1 to 0.5).

Their pixels are not read. They are detected so that they fail by name, and their content is not searched.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from wsi_embed.slide.suffixes import FOREIGN_SUFFIXES

# Files with the attributes of a group, in Zarr 2 and Zarr 3.
METADATA = (".zattrs", "zarr.json")
# Attributes of images, of plates and their wells, and of the output of bioformats2raw.
IMAGE = frozenset({"multiscales", "omero", "plate", "well", "bioformats2raw.layout"})
MASK = "image-label"
KIND = FOREIGN_SUFFIXES[".ozx"]
REASON = f"{KIND} is a format that nothing here reads"
REMEDY = "convert it to DICOM or a pyramidal TIFF"


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


def describes_ome(document: bytes) -> bool:
    """Return whether the attributes of a Zarr group are those of an OME image or plate."""
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
