"""Identity of a slide's content, independent of path, folder name and time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from wsi_embed.slide.dicom.files import series_files
from wsi_embed.slide.ome_zarr.detection import files_of
from wsi_embed.slide.suffixes import companion_folder

HEAD_TAIL = 256 * 1024
# Of an OME-Zarr in a folder, so many files are read besides its metadata; of all others only name and size.
MOST_CHUNKS = 64
ZARR_METADATA = frozenset({"zarr.json", ".zattrs", ".zarray", ".zgroup", ".zmetadata"})


def fingerprint(path: Path) -> str:
    """Return a digest of the size, head and tail of a slide's files.

    Args:
        path: Slide file; the other files of a multi-file slide are found from it.

    Returns:
        32 hexadecimal digits.

    Raises:
        OSError: If a file cannot be read.
    """
    digest = hashlib.sha256()
    files = slide_files(path)
    if path.is_dir():
        listed = [[file.relative_to(path).as_posix(), file.stat().st_size] for file in files]
        digest.update(json.dumps(listed).encode("utf-8", "surrogateescape"))
        files = _sample(files)
    for file in files:
        size = file.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with file.open("rb") as data:
            digest.update(data.read(HEAD_TAIL))
            if size > HEAD_TAIL:
                data.seek(max(HEAD_TAIL, size - HEAD_TAIL))
                digest.update(data.read(HEAD_TAIL))
    return digest.hexdigest()[:32]


def file_states(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of a slide's files, to detect changes.

    Raises:
        OSError: If a file does not exist.
    """
    states = [(file.name, file.stat()) for file in slide_files(path)]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def slide_files(path: Path) -> list[Path]:
    """Return all files of a slide, in an order that does not depend on its location."""
    if path.is_dir():  # no other format is a folder
        return files_of(path)
    suffix = path.suffix.lower()
    if (folder := companion_folder(path)) is not None and folder.is_dir():
        return [path, *sorted(p for p in folder.rglob("*") if p.is_file())]
    if suffix == ".mrxs" and path.with_suffix("").is_dir():
        return [path, *sorted(p for p in path.with_suffix("").rglob("*") if p.is_file())]
    if suffix in (".vms", ".vmu"):
        values = (line.partition("=")[2].strip() for line in path.read_text("latin-1").splitlines())
        parts = {path.parent / v for v in values if v and "/" not in v}
        return [path, *sorted(p for p in parts if p.is_file())]
    return series_files(path) or [path]


def _sample(files: list[Path]) -> list[Path]:
    """Return the metadata of an OME-Zarr and some chunks, spread evenly over its files."""
    metadata = [file for file in files if file.name in ZARR_METADATA]
    chunks = [file for file in files if file.name not in ZARR_METADATA]
    count = min(len(chunks), MOST_CHUNKS)
    spread = [chunks[(2 * number + 1) * len(chunks) // (2 * count)] for number in range(count)]
    return [*metadata, *spread]
