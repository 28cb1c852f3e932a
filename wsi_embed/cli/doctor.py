"""`wsi-embed doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.wording import reworded
from wsi_embed.util.json_text import json_text


def command(
    folder: Annotated[Path, typer.Argument(help="Folder where stores will be written.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine: versions, GPU and driver, OpenSlide, model, disk. Each problem comes with a fix.

    Exit code 1 if a job would fail.
    """
    from wsi_embed.cli.tables import show_checks
    from wsi_embed.diagnostics.doctor import diagnose

    checks = diagnose(folder)
    if as_json:
        typer.echo(json_text(reworded([check.to_dict() for check in checks]), indent=2))
    else:
        show_checks(checks)
    raise typer.Exit(1 if any(check.status == "problem" for check in checks) else 0)
