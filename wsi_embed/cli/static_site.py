"""`wsi-embed view STORE --slides DIR --static OUT`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.wording import in_flags

if TYPE_CHECKING:
    from wsi_embed.viewer.session import Session

STATIC = "Export without a server"


def write_static(session: Session, out: Path, finest_um: float | None) -> None:
    """Write the export, and show its slides and size."""
    from wsi_embed.util.text import counted
    from wsi_embed.viewer.static_site import write_static_site

    try:
        site = write_static_site(session, out, finest_um=finest_um, say=echo)
    finally:
        session.close()
    for note in site.notes:
        say(in_flags(note), err=True)
    slides = counted(sum(map(len, site.slides)), "slide")
    echo(f"{out}  {slides}, {counted(site.files, 'file')}, {site.bytes / 1e6:,.0f} MB")
    raise typer.Exit(1 if site.notes else 0)
