"""Every command that a page shows is accepted by the command line: it exists, and so do its options."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from wsi_embed.cli import app, with_default_command

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "examples/README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
# variables and a virtual environment may stand in front
COMMAND = re.compile(r"((?:WSI_\w+=(?:\"[^\"]*\"|\S+) )*)(?:\.venv/bin/)?wsi-embed (.+)")


def commands_of(page: str) -> list[tuple[dict[str, str], list[str]]]:
    """Return the variables and arguments of every `wsi-embed` command in indented and fenced blocks."""
    text = page.replace("\\\n", " ")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [line.strip() for line in text.splitlines() if line.startswith("    ")]
    found = [match.groups() for line in lines if (match := COMMAND.match(line))]
    return [
        (dict(one.split("=", 1) for one in shlex.split(variables)), shlex.split(arguments, comments=True))
        for variables, arguments in found
    ]


def parse(arguments: list[str]) -> None:
    """Parse a command as the command line does, without running it."""
    command: Any = typer.main.get_command(app)
    rest = with_default_command(arguments)
    while hasattr(command, "commands"):
        name, *rest = rest
        command = command.commands[name]
    with contextlib.suppress(typer.Exit):  # of options that print something and end, such as --list
        command.make_context(
            name, rest, **(app.info.context_settings or {})
        )  # commands are shared by all tests


@pytest.mark.parametrize("name", sorted(PAGES))
def test_commands_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, arguments in commands_of((ROOT / name).read_text("utf-8")):
        with monkeypatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, value)
            parse(arguments)


def test_most_pages_show_commands() -> None:
    shown = {name: len(commands_of((ROOT / name).read_text("utf-8"))) for name in PAGES}
    assert shown["README.md"] >= 20
    assert sum(shown.values()) >= 90


def test_what_does_not_exist_is_found() -> None:
    lines = [
        "wsi-embed is prose",
        "",
        "    wsi-embed info a  # b",
        "    WSI_A=1 wsi-embed eval mil s \\\n  --labels l",
    ]
    assert commands_of("\n".join(lines)) == [
        ({}, ["info", "a"]),
        ({"WSI_A": "1"}, ["eval", "mil", "s", "--labels", "l"]),
    ]
    with pytest.raises(Exception, match="no such option"):
        parse(["slides/", "--out", "feats.zarr", "--no-such-option"])
    with pytest.raises(KeyError):
        parse(["eval", "forest", "feats.zarr"])
