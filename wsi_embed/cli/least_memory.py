"""Refusal of commands whose libraries have no room within the limit on address space."""

from __future__ import annotations

from collections.abc import Sequence

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.memory import memory_limit

# MiB that libraries of a command need, as measured on 2 cores. With less, OpenBLAS waits for memory for ever.
LEAST = {"embed": 500, "cluster": 800, "eval": 900}


def check_memory(arguments: Sequence[str]) -> None:
    """Check that the limit on address space leaves room for the libraries of a command.

    Args:
        arguments: Arguments of the command line, the name of the command first.

    Raises:
        WsiEmbedError: If it does not.
    """
    least = LEAST.get(arguments[0], 0) if arguments else 0
    limit = memory_limit()
    if limit is not None and limit < least * 2**20:
        raise WsiEmbedError(
            f"not enough memory: {limit // 2**20} MiB of address space, and {arguments[0]} takes {least} or "
            "more",
            remedy="raise the limit (ulimit -v)",
        )
