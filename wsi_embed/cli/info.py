"""`wsi-embed info X`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

import typer

from wsi_embed.cli.lines import say
from wsi_embed.cli.options import ModelMpp, ModelTilePx
from wsi_embed.cli.wording import in_flags, reworded
from wsi_embed.util.json_text import json_text


def command(
    what: Annotated[
        str,
        typer.Argument(
            help="A slide, a folder or manifest of slides, a model, `default`, or a store.",
            show_default=False,
        ),
    ],
    reader: Annotated[
        str, typer.Option("--reader", help="Reader of slides: auto, openslide, tiff, zarr or fastslide.")
    ] = "auto",
    tile_px: ModelTilePx = None,
    mpp: ModelMpp = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a slide, the slides of a folder, an exported model, or a store."""
    from wsi_embed.cli.tables import LISTED, show_facts
    from wsi_embed.diagnostics.describe import describe

    facts, rows = describe(what, reader, tile_px=tile_px, mpp=mpp)
    if as_json:
        typer.echo(json_text(reworded({**facts, **({"slides": rows} if rows else {})}), indent=2))
    else:
        for row in rows:
            row["slide"] = unquote(str(row["slide"]))  # ids have escapes, which are for file names
        problems = [row.pop("problem") for row in rows if "problem" in row]
        show_facts(facts, [row for row in rows if len(row) > 1], "; --json lists all")
        for problem in problems[:LISTED]:
            say(f"not usable: {in_flags(problem)}")
