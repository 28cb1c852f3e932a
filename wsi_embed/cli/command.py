"""Commands and groups whose errors of usage and help look like those of the rest of the program.

A repeated single-value option is refused; typer would silently drop one value.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from wsi_embed.cli.help_page import metavar, show_help
from wsi_embed.cli.progress import ProgressDisplay
from wsi_embed.cli.wording import errors_in_flags
from wsi_embed.errors import UsageError
from wsi_embed.util.progress import watched_by

# Error of typer for wrong usage, whose class has no public name.
WRONG_USAGE: Any = typer.BadParameter.__bases__[0]
KINDS = {
    "valid number": "is no number (with a decimal point, as 0.5)",
    "valid integer": "is no whole number",
    "valid float": "is no number (with a decimal point, as 0.5)",
}
# Any scheme, az:// and file:// too; a single letter is a drive.
ADDRESS_AS_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
BOUND = re.compile(r"(greater|less) than( or equal to)? (-?[\d.]+)")


class Command(TyperCommand):
    """Command that reports an error if an option that takes one value is given several times."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            UsageError: If they are wrong, an option that takes one value is given several times, or a path is
                an address.
        """
        with usage_errors(ctx):
            values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(filter(_takes_one, given)).items():
            if times > 1:
                raise UsageError(
                    f"{option.opts[0]} is given {times} times and takes one value", remedy="give it once"
                )
        with usage_errors(ctx, values):
            rest = super().parse_args(ctx, args)
        for option in self.params:
            _check_local(option, ctx.params.get(str(option.name)))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command, show its progress, and word its errors with flags."""
        with ProgressDisplay() as display, watched_by(display), errors_in_flags():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        show_help(self, ctx)


class Group(TyperGroup):
    """Group of commands, with the errors and the help of `Command`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the group.

        Raises:
            UsageError: If they are wrong.
        """
        if not args and not ctx.resilient_parsing:
            show_help(self, ctx)
            raise typer.Exit(2)
        with usage_errors(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name.

        Raises:
            UsageError: If there is none.
        """
        with usage_errors(ctx):
            return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        show_help(self, ctx)


@contextlib.contextmanager
def usage_errors(ctx: Any, values: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Replace errors of typer by `UsageError`, with the value in the message.

    Args:
        ctx: Context of the command.
        values: Values of its parameters as typed.
    """
    try:
        yield
    except WRONG_USAGE as error:
        help_ = f"see {ctx.command_path} --help"
        parameter = getattr(error, "param", None)
        if parameter is None:
            what = error.format_message().rstrip(".").replace("(Possible options:", "(did you mean")
            raise UsageError(what[:1].lower() + what[1:], remedy=help_) from error
        if type(error) is not typer.BadParameter:
            raise UsageError("is missing", where=_name(parameter), remedy=help_) from error
        value = (values or {}).get(parameter.name)
        if value is None:
            value = parameter.value_from_envvar(ctx)
        where = f"{_name(parameter)} {_as_typed(value)}"
        raise UsageError(_problem(error.message), where=where, remedy=help_) from error


def _problem(message: str) -> str:
    """Return what is wrong with a value, in plain words."""
    for words, plain in KINDS.items():
        if words in message:
            return plain
    bound = BOUND.search(message)
    if not bound:
        return message[:1].lower() + message[1:].rstrip(".")
    direction = {"greater": ("more than", "or more"), "less": ("less than", "or less")}[bound[1]]
    return f"give {bound[3]} {direction[1]}" if bound[2] else f"give {direction[0]} {bound[3]}"


def _check_local(parameter: Any, value: Any) -> None:
    """Check that the paths of a parameter are no addresses: `s3://a` as a path is a folder named `s3:`.

    Raises:
        UsageError: If one is.
    """
    for path in value if isinstance(value, list | tuple) else [value]:
        scheme = ADDRESS_AS_PATH.match(str(path)) if isinstance(path, Path) else None
        if scheme and not path.exists():
            raise UsageError(
                f"takes a path of this machine, no {scheme[1]}:// address",
                where=_name(parameter),
                remedy="leave file:// out"
                if scheme[1].lower() == "file"
                else "copy from or to there in a step of its own",
            )


def _name(parameter: Any) -> str:
    return str(parameter.opts[0] if parameter.param_type_name == "option" else metavar(parameter))


def _as_typed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _takes_one(parameter: Any) -> bool:
    option = parameter.param_type_name == "option"
    return option and not parameter.multiple and not parameter.is_flag


def joined(values: Iterable[str] | None) -> str | None:
    """Join the values of a repeatable option whose values may be comma-separated lists."""
    return None if values is None else ",".join(values)
