"""`wsi-embed verify STORE`."""

from __future__ import annotations

import typer

from wsi_embed.cli.lines import echo
from wsi_embed.cli.options import StorePlace
from wsi_embed.cli.wording import in_flags
from wsi_embed.util.text import counted


def command(
    store: StorePlace,
) -> None:
    """Verify a store by reading all of it: checksums, missing objects, row counts, finite numbers.

    Exit code 1 if there is a problem.
    """
    from wsi_embed.store import open_store, verify

    problems = verify(store)
    for problem in problems:
        echo(f"{problem.where}: {in_flags(problem.what)}")
    opened = open_store(store)
    incomplete = opened.incomplete()
    if incomplete:
        echo(f"incomplete, the next run redoes them: {', '.join(incomplete)}")
    if problems:
        echo(
            f"{counted(len(problems), 'problem')}; delete the folder of a slide that is off "
            "and run the job again"
        )
        raise typer.Exit(1)
    echo(f"{counted(len(opened), 'slide')}, every byte as written")
