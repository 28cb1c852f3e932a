"""Commands that refuse an option given twice where it takes one value: of two, the first would be dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand

from wsi_embed.errors import UsageError


class Command(TyperCommand):
    """A command whose options mean what was said of them each time: all values, or an error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            UsageError: If an option that takes one value is given twice.
        """
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(filter(_takes_one, given)).items():
            if times > 1:
                raise UsageError(f"{option.opts[0]} is given {times} times and takes one value; give it once")
        return super().parse_args(ctx, args)


def _takes_one(parameter: Any) -> bool:
    option = parameter.param_type_name == "option"
    return option and not parameter.multiple and not parameter.is_flag


def joined(values: Iterable[str] | None) -> str | None:
    """Join the values of an option that may hold several, separated by commas, and be given again."""
    return None if values is None else ",".join(values)
