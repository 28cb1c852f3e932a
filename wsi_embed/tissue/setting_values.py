"""Values of the settings of a tissue mask, converted to the types of the settings."""

from __future__ import annotations

import math
from typing import Any

from wsi_embed.tissue.recipe import as_text


def convert_value(value: Any, like: Any) -> Any:
    """Convert the value of a setting, a text or of its own kind, to the type of `like`.

    Raises:
        ValueError: If it is none of that type.
        TypeError: If it is none of that type.
        OverflowError: If a whole number is expected, and it is infinite.
    """
    if isinstance(like, bool):
        words = {"on": True, "true": True, "yes": True, "1": True}
        words |= {"off": False, "false": False, "no": False, "0": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    if isinstance(like, tuple):
        parts = value.split(",") if isinstance(value, str) else list(value)
        if not like or isinstance(like[0], str):
            return tuple(str(part).strip() for part in parts if str(part).strip())
        if len(parts) != len(like):
            raise ValueError(value)
        return tuple(float(part) for part in parts)
    if isinstance(like, str):
        return str(value)
    number = float(value)
    if isinstance(value, bool) or math.isnan(number) or (isinstance(like, int) and number != int(number)):
        raise ValueError(value)
    return type(like)(number)


def expected_values(like: Any) -> str:
    """Describe the values of a setting of the same type as `like`."""
    if isinstance(like, bool):
        return "on or off is expected"
    if isinstance(like, tuple) and (not like or isinstance(like[0], str)):
        return "names are expected"
    if isinstance(like, tuple):
        return f"{len(like)} numbers are expected, as in {as_text(like)}"
    return f"{'a whole number' if isinstance(like, int) else 'a number'} is expected"
