"""Options given twice: both count where an option takes several values, and else the command is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wsi_embed.cli import app
from wsi_embed.cli.command import Command, joined
from wsi_embed.errors import UsageError

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SINGLE = [
    (f"{name} {command}".strip(), option)
    for name, found in COMMANDS.items()
    for command, parsed in getattr(found, "commands", {"": found}).items()
    for option in parsed.params
    if option.param_type_name == "option" and not option.is_flag and not option.multiple
]


def refusal(*args: str) -> str:
    error = CliRunner().invoke(app, list(args)).exception
    assert isinstance(error, UsageError), error
    assert error.exit_code == 2
    return str(error)


@pytest.mark.parametrize(("command", "option"), SINGLE, ids=lambda value: getattr(value, "name", value))
def test_no_option_of_one_value_drops_the_first(command: str, option: Any) -> None:
    name = option.opts[0]
    message = f"{name} is given 2 times and takes one value; give it once"
    assert refusal(*command.split(), name, "1", f"{name}=2", "x") == message


def test_every_command_is_of_that_kind() -> None:
    commands = [c for found in COMMANDS.values() for c in getattr(found, "commands", {"": found}).values()]
    assert all(isinstance(command, Command) for command in commands)
    assert len(SINGLE) > 100


def test_flags_and_lists_may_be_given_again(tmp_path: Path) -> None:
    args = ["--overwrite", "--overwrite", "--roi-include", "a", "--roi-include", "b", "--roi-missing", "skip"]
    assert "no such file or folder" in refusal("tile", str(tmp_path / "x.svs"), "--out", "o", *args)


def test_what_follows_two_dashes_is_no_option(tmp_path: Path) -> None:
    args = ["--mpp", "1", "--", "--mpp", "2"]
    assert "--mpp: no such file or folder" in refusal("tile", "--out", str(tmp_path / "o"), *args)


def test_lists_are_joined() -> None:
    assert joined(None) is None
    assert joined(["a,b", "c"]) == "a,b,c"
