"""Numbers and lists formatted for people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 tile`, `1,234 tiles`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def percent(share: float) -> str:
    """Return a share as `12.3 %`; a small share that is not zero is `< 0.1 %`."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


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
