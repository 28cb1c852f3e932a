"""JSON files that people edit by hand."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: The file, in UTF-8 with or without a byte order mark.

    Raises:
        OSError: If the file cannot be read.
        UsageError: If it is not JSON, gives a key twice, or holds something other than an object.
    """
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"not JSON ({error.msg} at column {error.colno})",
            where=f"{path}, line {error.lineno}",
            remedy=f"mend line {error.lineno} of {path.name}",
        ) from error
    except UsageError as error:
        raise error.at(path) from error
    except RecursionError as error:
        raise UsageError("nested too deeply", where=path, remedy=f"mend {path.name}") from error
    except ValueError as error:  # not UTF-8, or a number of thousands of digits
        raise UsageError(f"not JSON ({error})", where=path, remedy=f"mend {path.name}") from error
    if not isinstance(document, dict):
        raise UsageError("a JSON object is expected", where=path, remedy=f"mend {path.name}")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are all different."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"the key {reprlib.repr(key)} is given twice", remedy="leave one of them out")
        found[key] = value
    return found
