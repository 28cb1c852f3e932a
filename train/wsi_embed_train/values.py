"""Conversion of YAML values to the types of settings."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument


def parse(name: str, kind: Any, value: Any) -> Any:
    """Convert a value from YAML to the type of a setting.

    Args:
        name: Name of the setting, for the message.
        kind: Type of the setting: int, float, str, bool or a tuple of one of these, optionally `| None`.
        value: Value from YAML.

    Raises:
        UsageError: If the value does not have that type.
    """
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and types.NoneType in kinds:
        return None
    wanted = next(k for k in kinds if k is not types.NoneType)
    parts = typing.get_args(wanted)
    try:
        if not parts:
            return _scalar(wanted, value)
        if not isinstance(value, list | tuple) or (parts[-1] is not ... and len(value) != len(parts)):
            raise ValueError
        return tuple(_scalar(parts[0], part) for part in value)
    except ValueError:
        raise UsageError(f"{_words(wanted)} is expected", where=argument(name, value)) from None


def _scalar(kind: type, value: Any) -> Any:
    if kind is float and isinstance(value, str):
        value = float(value)  # YAML reads 1e-4, without a point, as text
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError
        return float(value)
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # such as precision: 32
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError
    return value


def _words(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    parts = typing.get_args(kind)
    if not parts:
        return words[kind]
    if parts[-1] is not ...:
        return f"a list of {len(parts)} numbers"
    return "a list of whole numbers" if parts[0] is int else "a list of numbers"


def numbers(value: Any) -> tuple[float, ...]:
    """Return the numbers of a setting as a tuple, empty for None."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Suggest known names that are similar to an unknown one, or list all of them."""
    near = difflib.get_close_matches(wrong, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"
