"""Lines of text for people: wrapped by words on a terminal, whole in a log."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text


def say(text: str, *, err: bool = False) -> None:
    """Print a line.

    Args:
        text: The line.
        err: Whether it goes to standard error.
    """
    _print(Text(text), err)


def say_error(text: str) -> None:
    """Print a line on standard error, in red on a terminal."""
    _print(Text(text, style="red"), err=True)


def _print(text: Text, err: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    console = Console(file=stream, emoji=False, highlight=False)
    console.print(text, soft_wrap=not console.is_terminal)
