"""Atomic file writes: a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

# Suffix of the temporary files of `create`; a killed process may leave one behind.
PARTIAL = ".partial"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends.

    The temporary file is hidden and keeps the suffix of `path`. After an error it is removed, and a file that
    existed at `path` is unchanged.

    Raises:
        OSError: If the file cannot be renamed.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def create(path: Path, text: str) -> None:
    """Create a text file atomically, unless it exists: an existing file is never replaced.

    Raises:
        OSError: If the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        partial.write_text(text, "utf-8")
        try:
            os.link(partial, path)  # unlike a rename, never replaces another process's file
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
