"""`wsi-embed finalize STORE`."""

from __future__ import annotations

from typing import Annotated

import typer

from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.options import StorePlace
from wsi_embed.util.text import counted


def command(
    store: StorePlace,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="Record the slides that are there as those that belong to the store, although verify "
            "reports that slides were removed or added.",
        ),
    ] = False,
) -> None:
    """Write a store's index: a table of its slides, patients and tiles that makes listing them fast.

    Readers do not need it. Run it when all jobs that write to the store are done; slides added later are
    found anyway.
    """
    from wsi_embed.storage import location
    from wsi_embed.store import finalize
    from wsi_embed.store.index import INDEX_FILE

    rows, incomplete = finalize(store, accept=accept)
    tiles = sum(row.tiles for row in rows)
    echo(f"{counted(len(rows), 'slide')}, {counted(tiles, 'tile')} -> {location(store) / INDEX_FILE}")
    if incomplete:
        say(f"incomplete, the next run redoes them: {', '.join(incomplete)}")
