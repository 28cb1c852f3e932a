"""Commands that reject a repeated single-value option, of which typer would silently drop one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand

from wsi_embed.cli.wording import errors_in_flags
from wsi_embed.errors import UsageError


class Command(TyperCommand):
    """Command that reports an error if an option that takes one value is given several times."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            UsageError: If an option that takes one value is given several times.
        """
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(filter(_takes_one, given)).items():
            if times > 1:
                raise UsageError(
                    f"{option.opts[0]} is given {times} times and takes one value", remedy="give it once"
                )
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and word its errors with flags."""
        with errors_in_flags():
            return super().invoke(ctx)


def _takes_one(parameter: Any) -> bool:
    option = parameter.param_type_name == "option"
    return option and not parameter.multiple and not parameter.is_flag


def joined(values: Iterable[str] | None) -> str | None:
    """Join the values of a repeatable option whose values may be comma-separated lists."""
    return None if values is None else ",".join(values)
