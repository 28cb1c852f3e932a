"""Identity of a slide's content, independent of path, folder name and time."""

from __future__ import annotations

import hashlib
from pathlib import Path

from wsi_embed.slide.dicom import series_files

HEAD_TAIL = 256 * 1024


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
    for file in slide_files(path):
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
    suffix = path.suffix.lower()
    if suffix == ".mrxs" and path.with_suffix("").is_dir():
        return [path, *sorted(p for p in path.with_suffix("").rglob("*") if p.is_file())]
    if suffix in (".vms", ".vmu"):
        values = (line.partition("=")[2].strip() for line in path.read_text("latin-1").splitlines())
        parts = {path.parent / v for v in values if v and "/" not in v}
        return [path, *sorted(p for p in parts if p.is_file())]
    return series_files(path) or [path]
