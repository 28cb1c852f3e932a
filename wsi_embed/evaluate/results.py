"""The folder that an evaluation leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.atomic_files import replacing


@contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """Make the folder, and turn what goes wrong while it is filled into one line.

    Raises:
        WsiEmbedError: It, or a file in it, cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WsiEmbedError(f"--out {folder}: cannot be written ({error.strerror or error})") from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values, whole or not at all.

    Raises:
        OSError: They cannot be written.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
