"""Lines of text for people, without control characters: wrapped by words on a terminal, whole in a log."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console
from rich.text import Text

from wsi_embed.cli.lasting_output import discard
from wsi_embed.util.text import visible

LOG_WIDTH = 160
# Width of a terminal below which tables have less, columns.
NARROW = 70


class JobConsole(Console):
    """Console that ignores a closed pipe (`| head`), which is no error.

    Emoji codes are off: a slide's name may contain colons. In a log or a pipe a table may have `LOG_WIDTH`
    columns, so that names are whole.
    """

    def __init__(self) -> None:
        super().__init__(emoji=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = LOG_WIDTH

    def on_broken_pipe(self) -> None:
        """Discard further output."""
        self.quiet = True
        discard(sys.stdout)


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
    print_line(Console(file=sys.stderr if err else sys.stdout), text)


def say_error(text: str) -> None:
    """Print a line on standard error, in red on a terminal."""
    print_line(Console(file=sys.stderr), text, style="red")


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print a line on a console.

    Args:
        console: The console.
        text: The line; control characters in it are shown as escapes.
        style: Style of rich.
    """
    console.print(Text(visible(text), style=style), soft_wrap=not console.is_terminal)
