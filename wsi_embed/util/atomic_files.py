"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

# Ends the names of what a process leaves behind that is killed in `create`.
PARTIAL = ".partial"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden name beside a path, with its suffix; what is written there gets the path at the end.

    After an error what was at the path before is still there, and nothing else is left.

    Raises:
        OSError: It cannot be renamed.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def create(path: Path, text: str) -> None:
    """Make a file with its text in one step, unless another process is faster: it is never replaced.

    Raises:
        OSError: It cannot be written.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        partial.write_text(text, "utf-8")
        try:
            os.link(partial, path)  # unlike a rename it never replaces what another process wrote
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
