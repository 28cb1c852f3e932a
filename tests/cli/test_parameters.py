"""Groups of options that commands share."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

import wsi_embed
from wsi_embed.cli.options import RunOptions, TilingOptions
from wsi_embed.cli.parameters import INPUT, JOB, given, option, takes
from wsi_embed.jobs.options import JobOptions
from wsi_embed.tiling.settings import Tiling


class Group:
    size: Annotated[int, option("--size", "A size.", JOB)] = 3
    names: Annotated[list[str] | None, option("--name", "A name.", INPUT)] = None


def app(*groups: type, **more: Any) -> typer.Typer:
    made = typer.Typer()

    @made.command()
    @takes(*groups, **more)
    def command(
        path: str, late: Annotated[bool, option("--late", "Late.", JOB)] = False, **shared: Any
    ) -> None:
        typer.echo(f"{path} {late} {sorted(shared.items())}")

    return made


def run(made: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(made, list(arguments), catch_exceptions=False)
    return result.output.strip()


def test_a_command_receives_the_options_of_a_group() -> None:
    said = run(app(Group), "a", "--size", "4", "--name", "x", "--name", "y", "--late")
    assert said == "a True [('names', ['x', 'y']), ('size', 4)]"


def test_options_that_are_not_given_have_the_defaults_of_the_group() -> None:
    assert run(app(Group), "a") == "a False [('names', None), ('size', 3)]"
    assert given({"names": None, "size": 3}) == {"size": 3}


def test_a_command_can_take_some_options_of_a_group() -> None:
    assert run(app(Group, only={"size"}), "a") == "a False [('size', 3)]"
    assert "No such option" in run(app(Group, only={"size"}), "a", "--name", "x")


def test_an_option_of_a_group_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSI_EMBED_SIZE", "7")
    assert "('size', 7)" in run(app(Group), "a")


@pytest.mark.parametrize("function", [wsi_embed.embed, wsi_embed.tile])
@pytest.mark.parametrize("group", [TilingOptions, RunOptions])
def test_python_takes_the_same_options_with_the_same_defaults(function: Any, group: type) -> None:
    keywords = inspect.signature(function).parameters
    for name in group.__annotations__:
        default = getattr(group, name)
        assert keywords[name].default == (() if default is None and keywords[name].default == () else default)


def test_the_command_line_has_every_option_of_a_job() -> None:
    assert set(RunOptions.__annotations__) == {f.name for f in fields(JobOptions)}
    split = {
        "regions": {"roi", "roi_include", "roi_exclude", "roi_missing"},
        "limits": {"min_focus", "max_pen", "max_dark"},
    }
    others = {f.name for f in fields(Tiling)} - split.keys() | set().union(*split.values()) | {"tissue_set"}
    assert set(TilingOptions.__annotations__) == others
