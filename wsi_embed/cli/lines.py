"""Lines of text for people, without control characters: wrapped by words on a terminal, whole in a log."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from wsi_embed.util.text import visible


def echo(text: str, *, err: bool = False) -> None:
    """Print a line that is not wrapped on a terminal either, such as a path.

    Args:
        text: The line; control characters in it are shown as escapes.
        err: Whether it goes to standard error.
    """
    typer.echo(visible(text), err=err)


def say(text: str, *, err: bool = False) -> None:
    """Print a line.

    Args:
        text: The line; control characters in it are shown as escapes.
        err: Whether it goes to standard error.
    """
    _print(Text(visible(text)), err)


def say_error(text: str) -> None:
    """Print a line on standard error, in red on a terminal."""
    _print(Text(visible(text), style="red"), err=True)


def _print(text: Text, err: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    console = Console(file=stream, emoji=False, highlight=False)
    console.print(text, soft_wrap=not console.is_terminal)
