"""Processes forked from one that has imported PyTorch and the training: each starts in milliseconds.

The process that they are forked from starts with the first of them, and has no threads to harm.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["wsi_embed_train.fit", "timm", "wsi_embed.cli.training"])


def start_command(
    *arguments: str | Path, errors: Path, env: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Start the command line in a process and a session of its own.

    Args:
        *arguments: What a user types after `wsi-embed`.
        errors: File that gets its standard error; its standard output is lost.
        env: Variables that are added to the environment.
    """
    typed = [str(argument) for argument in arguments]
    process = CONTEXT.Process(target=_command, args=(typed, str(errors), dict(env or {})))
    process.start()
    return process


def _command(typed: list[str], errors: str, env: dict[str, str]) -> None:
    from wsi_embed.cli import main

    os.setsid()
    os.environ |= env
    for number, name in ((1, os.devnull), (2, errors)):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["wsi-embed", *typed]
    main()
