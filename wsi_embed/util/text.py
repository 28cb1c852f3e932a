"""Numbers and lists formatted for people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from wsi_embed.errors import printable

# Longest list that is shown whole.
MOST_ITEMS = 12


def visible(text: str) -> str:
    r"""Return a text with escapes in place of control characters, which a terminal would obey.

    Line breaks, tabs, and the wide and the unbroken space stay.

    Example:
        >>> from wsi_embed.util.text import visible
        >>> visible("\x1b[31mred.tif")
        '\\x1b[31mred.tif'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in "\n\t\u00a0\u3000" else printable(letter) for letter in text)


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 tile`, `1,234 tiles`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def percent(share: float) -> str:
    """Return a share as `12.3 %`; a small share that is not zero is `< 0.1 %`."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def in_words(value: object) -> str:
    """Return a value of JSON for people: `yes`, `none`, lists with commas, `key value` for dictionaries.

    Entries of dictionaries without content are left out.

    Example:
        >>> from wsi_embed.util.text import in_words
        >>> in_words({"pen": True, "size": [1.0, 2.5], "roi": None, "freeze": ""})
        'pen yes, size (1, 2.5)'
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        parts = (f"{str(k).replace('_', ' ')} {_inner(v)}" for k, v in with_content(value).items())
        return ", ".join(parts) or "none"
    if isinstance(value, list | tuple):
        shown = [_inner(item) for item in value[:MOST_ITEMS]]
        rest = [f"and {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else []
        return ", ".join(shown + rest) or "none"
    return str(value)


def with_content(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that say something: not None, and no empty text, list or dictionary."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, ())}


def _inner(value: object) -> str:
    nested = isinstance(value, Mapping | list | tuple) and len(value) > 0
    return f"({in_words(value)})" if nested else in_words(value)


def names_of(items: Iterable[str], most: int = 3) -> str:
    """Return the first few of many names: `a, b, c and 2 more`."""
    items = iter(items)
    shown = list(itertools.islice(items, most))
    rest = sum(1 for _ in items)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def argument(name: str, value: object) -> str:
    """Return an option with its value, as messages have it: `edge='pad'`, with the backquotes.

    The command line shows it as a flag; see `wsi_embed.cli.wording`.
    """
    plain = isinstance(value, str | int | float | list | tuple | dict)
    return f"`{name}={(value if plain else str(value))!r}`"
