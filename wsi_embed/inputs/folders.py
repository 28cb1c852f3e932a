"""Slide files of a folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wsi_embed.errors import UsageError
from wsi_embed.slide.dicom.files import dicom_series, is_dicom, named_as_dicom
from wsi_embed.slide.fingerprint import slide_files
from wsi_embed.slide.ome_zarr.detection import is_ome_zarr
from wsi_embed.slide.suffixes import named_as_slide

# File in the root of a folder of tiles, whose images are not slides.
TILES_MARK = ".wsi-embed-tiles"


def folder_files(folder: Path, also: Collection[str] = ()) -> list[Path]:
    """Return the slides in a folder, at any depth, without files that are part of another slide.

    A subfolder that is an OME-Zarr image counts as a slide and is not searched. Subfolders that cannot be
    listed are appended as if they were files: each then fails as a slide, so that its content is not silently
    missing.

    Args:
        folder: Folder to search.
        also: Further suffixes to include, in lower case, for finding tiles. Without them, folders made by
            `wsi-embed tile` are left out.

    Raises:
        UsageError: If the folder is a store, or an OME-Zarr image.
    """
    unlisted: list[Path] = []
    if is_ome_zarr(folder):
        raise UsageError("is a slide (OME-Zarr), not a folder of files", where=folder)
    if (folder / "zarr.json").is_file():
        raise UsageError("is a store, not a folder of slides", where=folder)
    images: list[Path] = []
    walk = _walk(folder, unlisted, images, tiles=bool(also))
    files = [*(p for p in walk if p.suffix.lower() in also or _is_slide(p)), *images]
    files = _without_parts(sorted(p for p in files if not p.name.startswith("._")))
    taken = set(files) if unlisted else set()
    # opening a MIRAX slide reports by itself that its folder cannot be listed
    return files + sorted(p for p in unlisted if p.with_suffix(".mrxs") not in taken)


def _is_slide(path: Path) -> bool:
    if named_as_slide(path.name):
        return True
    try:
        return named_as_dicom(path) and path.is_file() and (dicom_series(path) is not None or is_dicom(path))
    except (FileNotFoundError, PermissionError):
        return False
    except OSError:
        return True  # it may be a slide: opening it will report the reason


def _walk(folder: Path, unlisted: list[Path], images: list[Path], *, tiles: bool) -> Iterator[Path]:
    """Yield all files below a folder, following links, each real folder once.

    A broken link is yielded as a file, so that it fails as a slide instead of being silently missing.

    Args:
        folder: Folder to search.
        unlisted: List to which folders that cannot be listed are appended.
        images: List to which OME-Zarr images are appended.
        tiles: Whether to search folders of tiles.
    """
    seen = set()

    def note(error: OSError) -> None:
        unlisted.append(Path(error.filename))

    for root, folders, files in os.walk(folder, onerror=note, followlinks=True):
        real = os.path.realpath(root)
        if real in seen or (TILES_MARK in files and not tiles):
            folders.clear()
            continue
        seen.add(real)
        if is_ome_zarr(Path(root), files):
            images.append(Path(root))
            folders.clear()
            continue
        if TILES_MARK in files:  # skip the folders of unfinished slides
            folders[:] = [name for name in folders if not name.startswith(".")]
        folders.sort()
        yield from (Path(root) / name for name in files)


def _without_parts(files: Sequence[Path]) -> list[Path]:
    """Leave out files that are part of another: a VMS slide's JPEGs, and further files of a DICOM series."""
    parts = {part for path in files for part in _jpeg_parts(path)}
    kept, seen = [], set()
    for path in files:
        if path in parts:
            continue
        if named_as_dicom(path):
            try:
                series = dicom_series(path)
            except OSError:
                series = None  # opening it will report the reason
            if series and (path.parent, series) in seen:
                continue
            seen.add((path.parent, series))
        kept.append(path)
    return kept


def _jpeg_parts(path: Path) -> list[Path]:
    """Return the JPEGs of a VMS slide. One is the macro image, which may show a patient's name."""
    if path.suffix.lower() not in (".vms", ".vmu"):
        return []
    try:
        return slide_files(path)[1:]
    except OSError:
        return []  # opening it will report the reason
