"""Help of a command: usage, description, and its options in groups."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

# Wider lines are hard to read.
WIDEST = 110
GENERAL = "Other"
PLACEHOLDERS = {"int": "N", "float": "NUMBER", "path": "PATH"}


def show_help(command: Any, context: Any) -> None:
    """Print the help of a command or of a group of commands.

    Args:
        command: Command of typer.
        context: Its context.
    """
    console = Console(highlight=False, emoji=False)
    console.width = min(console.width, WIDEST)
    console.print(Text(usage(command, context), style="bold"))
    for paragraph in _paragraphs(command.help):
        console.print("\n" + paragraph, markup=False)
    sections = dict(_sections(command, context))
    width = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
    for title, rows in sections.items():
        console.print(Text(f"\n{title}:", style="bold"))
        console.print(Padding(_table(rows, min(width, console.width // 3)), (0, 0, 0, 2)))
    for paragraph in _paragraphs(command.epilog):
        console.print("\n" + paragraph, markup=False)


def usage(command: Any, context: Any) -> str:
    """Return a line such as `Usage: wsi-embed plot STORE [OPTIONS]`."""
    needed = [_shown_name(p) for p in _shown(command, context) if p.required]
    more = ["COMMAND ..."] if hasattr(command, "list_commands") else ["[OPTIONS]"]
    return " ".join(["Usage:", context.command_path, *needed, *more])


def metavar(parameter: Any) -> str:
    """Return the placeholder of a parameter's value; empty for a flag."""
    if getattr(parameter, "is_flag", False):
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    kind = getattr(parameter, "type_descriptor", None) or getattr(parameter, "type", None)
    described = str(getattr(kind, "annotation", kind)).lower()
    return next((shown for word, shown in PLACEHOLDERS.items() if word in described), "TEXT")


def _sections(command: Any, context: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield titles, each with rows of names and texts; options without a group come last."""
    shown = _shown(command, context)
    arguments = [p for p in shown if p.param_type_name == "argument"]
    if arguments:
        yield "Arguments", [(_shown_name(p), _text(p, context)) for p in arguments]
    if hasattr(command, "list_commands"):
        commands = (command.get_command(context, name) for name in command.list_commands(context))
        yield "Commands", [(c.name, next(_paragraphs(c.help), "")) for c in commands]
    options = [p for p in shown if p.param_type_name == "option"]
    panels = {getattr(p, "rich_help_panel", None) or GENERAL: None for p in options}
    for panel in sorted(panels, key=lambda name: name == GENERAL):
        members = [p for p in options if (getattr(p, "rich_help_panel", None) or GENERAL) == panel]
        title = panel if len(panels) > 1 else "Options"
        yield title, [(_shown_name(p), _text(p, context)) for p in members]


def _shown(command: Any, context: Any) -> list[Any]:
    return [p for p in command.get_params(context) if not getattr(p, "hidden", False)]


def _shown_name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return metavar(parameter)
    names = ", ".join(sorted(parameter.opts, key=len))
    return f"{names} {metavar(parameter)}".rstrip()


def _text(parameter: Any, context: Any) -> str:
    text = " ".join((parameter.help or "").split())
    if parameter.required and parameter.param_type_name == "option":
        return f"{text} Required."
    default = parameter.default
    if parameter.show_default and default is not None and not isinstance(default, bool | list | tuple):
        return f"{text} Default: {default}."
    return text


def _table(rows: Iterable[tuple[str, str]], width: int) -> Table:
    """Return names beside texts; a name that is too long has a line of its own."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(width=width, overflow="fold")
    table.add_column()
    for name, text in rows:
        table.add_row(Text(name, style="bold"), Text(text))
    return table


def _paragraphs(text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a text, each as one line."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if joined := " ".join(paragraph.split()):
            yield joined
