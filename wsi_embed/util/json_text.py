"""JSON texts that every parser reads."""

from __future__ import annotations

import functools
import json
import math
from typing import Any


def json_text(value: Any, **options: Any) -> str:
    """Return a value as JSON, with null for numbers that are not finite, for which JSON has no name.

    Args:
        value: Plain value.
        options: Options of `json.dumps`.
    """
    encode = _encoder(**options).encode
    try:
        return encode(value)
    except ValueError:
        return encode(_finite(value))


@functools.cache
def _encoder(**options: Any) -> json.JSONEncoder:
    return json.JSONEncoder(allow_nan=False, **options)


def _finite(value: Any) -> Any:
    """Return a copy of a value, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
