"""`wsi-embed finalize STORE`."""

from __future__ import annotations

import typer

from wsi_embed.cli.options import StorePlace
from wsi_embed.util.text import counted


def command(
    store: StorePlace,
) -> None:
    """Write a store's index: a table of its slides, patients and tiles that makes listing them fast.

    Readers do not need it. Run it when all jobs that write to the store are done; slides added later are
    found anyway.
    """
    from wsi_embed.storage import location
    from wsi_embed.store import finalize
    from wsi_embed.store.index import INDEX_FILE

    rows, incomplete = finalize(store)
    tiles = sum(row.tiles for row in rows)
    typer.echo(f"{counted(len(rows), 'slide')}, {counted(tiles, 'tile')} -> {location(store) / INDEX_FILE}")
    if incomplete:
        typer.echo(f"incomplete, the next run redoes them: {', '.join(incomplete)}")
