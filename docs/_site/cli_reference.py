"""Page of all commands and their options, generated from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from wsi_embed.cli import app

INTRODUCTION = """# Commands

`wsi-embed SLIDES ... --out STORE` is short for `wsi-embed embed`. `--help` of a command shows the same text.
"""


def cli_page() -> str:
    """Return the page as Markdown."""
    command: Any = typer.main.get_command(app)
    return INTRODUCTION + "".join(_described("wsi-embed", command))


def _described(name: str, command: Any) -> Iterator[str]:
    """Yield the sections of a command and of its subcommands."""
    for child, sub in getattr(command, "commands", {}).items():
        if sub.hidden:
            continue
        if hasattr(sub, "commands"):
            yield from _described(f"{name} {child}", sub)
            continue
        yield f"\n## {name} {child}\n\n{_text(sub.help)}\n\n```text\n{_usage(f'{name} {child}', sub)}\n```\n"
        for panel, options in _panels(sub).items():
            yield f"\n**{panel}**\n\n| | |\n|---|---|\n" + "".join(options)


def _usage(name: str, command: Any) -> str:
    arguments = [f"[{a}]" if not a_required else a for a, a_required in _arguments(command)]
    return " ".join([name, *arguments, "[OPTIONS]"])


def _arguments(command: Any) -> list[tuple[str, bool]]:
    return [
        ((p.metavar or p.name.upper()).strip("[]{}."), p.required)
        for p in command.params
        if p.param_type_name == "argument" and not getattr(p, "hidden", False)
    ]


def _panels(command: Any) -> dict[str, list[str]]:
    """Return the rows of the table of options, by the title of their group."""
    rows: dict[str, list[str]] = {}
    for param in command.params:
        if getattr(param, "hidden", False):
            continue
        panel = getattr(param, "rich_help_panel", None)
        if param.param_type_name == "argument":
            panel, names = panel or "Arguments", f"`{(param.metavar or param.name.upper()).strip('[]{}.')}`"
        else:
            panel, names = (
                panel or "Options",
                ", ".join(f"`{o}`" for o in (*param.opts, *param.secondary_opts)),
            )
        rows.setdefault(panel, []).append(f"| {names} | {_cell(_text(param.help))}{_default(param)} |\n")
    return rows


def _default(param: Any) -> str:
    """Return the default as text, where the help does not say it itself."""
    default = param.default
    if (
        default in (None, False, True, (), [])
        or callable(default)
        or not getattr(param, "show_default", True)
    ):
        return ""
    return f" *Default: {getattr(default, 'value', default)}*"


def _text(help_text: str | None) -> str:
    return inspect.cleandoc(help_text or "").replace("\f", "").replace("\b", "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
