"""`wsi-embed verify STORE`."""

from __future__ import annotations

import typer

from wsi_embed.cli.lines import say
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
        say(f"{problem.where}: {in_flags(problem.what)}")
    opened = open_store(store)
    incomplete = opened.incomplete()
    if incomplete:
        say(f"incomplete, the next run redoes them: {', '.join(incomplete)}")
    if problems:
        say(
            f"{counted(len(problems), 'problem')}; delete the folder of a slide that is off "
            "and run the job again"
        )
        raise typer.Exit(1)
    say(f"{counted(len(opened), 'slide')}, every byte as written")
