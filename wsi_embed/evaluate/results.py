"""The result folder of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.text import argument


@contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """Create a result folder, and report errors while writing to it in one line.

    Args:
        folder: The folder.

    Raises:
        WsiEmbedError: If the folder or a file in it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WsiEmbedError(
            f"cannot be written ({error.strerror or error})", where=argument("out", folder)
        ) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values to a JSON file atomically.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
