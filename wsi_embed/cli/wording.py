"""Rewriting of Python arguments in messages as flags of the command line.

The library writes an option as `mpp=`, with a value as `edge='pad'`, both in backquotes.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import re
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import typer

from wsi_embed.errors import WsiEmbedError

T = TypeVar("T")
_APPS: list[typer.Typer] = []
# a name, and a value in which a backquote may only be within quotes
OPTION = re.compile(r"""`([A-Za-z_]\w*)=((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^`'"])*)`""")


def in_flags(text: str, settings: Collection[str] = ()) -> str:
    """Return a text with flags in place of Python's arguments.

    Args:
        text: A message of the library.
        settings: Names that the command takes as `--set NAME=VALUE`.

    Returns:
        The text; names that are no option of any command stay as they are.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], _shown(match[2])
        if name in settings:
            listed = f"[{value}]" if match[2].startswith(("(", "[")) else value  # as in YAML
            return f"--set {name}={listed}".removesuffix("=")
        if name not in flags():
            return match[0]
        return flags()[name] if match[2] in ("", "True") else f"{flags()[name]} {value}"

    return OPTION.sub(flag, text) if "`" in text else text


def reworded(value: T, settings: Collection[str] = ()) -> T:
    """Return data with flags in all of its texts: lists, dictionaries and dataclasses, such as a report."""
    again = functools.partial(reworded, settings=settings)
    changed: Any = value
    if isinstance(value, str):
        changed = in_flags(value, settings)
    elif isinstance(value, list | tuple) and type(value) in (list, tuple):
        changed = type(value)(map(again, value))
    elif isinstance(value, dict):
        changed = {key: again(item) for key, item in value.items()}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = {field.name: again(getattr(value, field.name)) for field in dataclasses.fields(value)}
        changed = dataclasses.replace(value, **items)
    result: T = changed
    return result


@contextlib.contextmanager
def errors_in_flags(settings: Collection[str] = ()) -> Iterator[None]:
    """Word the errors that leave the block for the command line."""
    try:
        yield
    except WsiEmbedError as error:
        error.what = in_flags(error.what, settings)
        error.where = error.where and in_flags(error.where, settings)
        error.remedy = error.remedy and in_flags(error.remedy, settings)
        raise


def use_flags_of(app: typer.Typer) -> None:
    """Make the options of all commands of an app known."""
    _APPS.append(app)
    flags.cache_clear()


@functools.cache
def flags(command: str | None = None) -> dict[str, str]:
    """Return flags by their names in Python and by those of the commands' parameters.

    Args:
        command: Name of the only command to look at; None looks at all.
    """
    found: dict[str, str] = {}
    for name, parameter in _parameters(*map(typer.main.get_command, _APPS)):
        for flag in (opt for opt in parameter.opts if opt.startswith("--") and command in (None, name)):
            found[flag.removeprefix("--").replace("-", "_")] = flag
            found.setdefault(str(parameter.name), flag)
    return found


def _parameters(*commands: Any) -> Iterator[tuple[str, Any]]:
    """Yield each parameter of commands, and of those below them, with the name of its command."""
    for command in commands:
        yield from ((str(command.name), parameter) for parameter in command.params)
        yield from _parameters(*getattr(command, "commands", {}).values())


def _shown(literal: str) -> str:
    """Return a value of Python as it is typed on the command line."""
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
    if isinstance(value, dict):
        value = [f"{key}={item}" for key, item in value.items()]
    shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    return shown if isinstance(shown, str) and shown.isprintable() else literal
