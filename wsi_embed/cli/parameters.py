"""Parameters of commands: options that the environment can set, and groups of options shared by commands."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from inspect import Parameter
from typing import Any, TypeVar, get_type_hints

import typer

from wsi_embed.errors import UsageError
from wsi_embed.inputs.schedulers import SHARD_COUNT

ENV = "WSI_EMBED_"
_ENV_NAMES = {SHARD_COUNT}
INPUT, TILES, ROI, RUN, JOB = "Input and output", "Tiles", "Regions", "Running", "Jobs"
_PANELS = (INPUT, TILES, ROI, RUN, JOB)
Command = TypeVar("Command", bound=Callable[..., Any])


def option(name: str, help_: str, panel: str, **more: Any) -> Any:
    """Declare an option that can also be set as WSI_EMBED_<OPTION>."""
    env = ENV + name.lstrip("-").replace("-", "_").upper()
    _ENV_NAMES.add(env)
    return typer.Option(name, help=help_, rich_help_panel=panel, envvar=env, show_envvar=False, **more)


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """Return one line for each environment variable that looks like a mistyped option."""
    mistyped = (name for name in sorted(environ) if name.startswith(ENV) and name not in _ENV_NAMES)
    meant = (
        (name, difflib.get_close_matches(name, sorted(_ENV_NAMES), n=1, cutoff=0.85)) for name in mistyped
    )
    return [f"{name} is set, but is no option; did you mean {close[0]}?" for name, close in meant if close]


def takes(*groups: type, only: Collection[str] | None = None) -> Callable[[Command], Command]:
    """Add groups of options to a command, which receives them as `**options`.

    Args:
        groups: Classes whose attributes are options: annotated with `option`, with the default as value.
        only: Names of the options to take; all by default.

    Returns:
        Decorator for the command.
    """

    def decorate(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        parameters = {
            name: parameter.replace(annotation=hints[name])
            for name, parameter in inspect.signature(command).parameters.items()
            if parameter.kind is not Parameter.VAR_KEYWORD
        }
        for group in groups:
            for name, hint in get_type_hints(group, include_extras=True).items():
                if only is None or name in only:
                    default = getattr(group, name)
                    parameters[name] = Parameter(
                        name, Parameter.KEYWORD_ONLY, default=default, annotation=hint
                    )
        ordered = sorted(parameters.values(), key=_place)
        signature = inspect.Signature([p.replace(kind=Parameter.KEYWORD_ONLY) for p in ordered])
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in ordered}
        return command

    return decorate


def is_on(name: str, value: str) -> bool:
    """Return whether an option of `on` or `off` is on.

    Raises:
        UsageError: If it is neither.
    """
    if value not in ("on", "off"):
        raise UsageError("choose on or off", where=f"{name} {value}")
    return value == "on"


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that have a value; the others get their Python defaults."""
    return {name: value for name, value in options.items() if value is not None}


def _place(parameter: Parameter) -> int:
    """Return the position of an option in the help: arguments first, then by panel."""
    declared = getattr(parameter.annotation, "__metadata__", ())
    panels = [_PANELS.index(each.rich_help_panel) for each in declared if each.rich_help_panel in _PANELS]
    return panels[0] + 1 if panels else 0
