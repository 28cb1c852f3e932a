"""`wsi-embed convert STORE --to FORMAT --out DIR`, `wsi-embed convert DIR --from FORMAT --out STORE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.options import ClustersFolder
from wsi_embed.cli.wording import in_flags

if TYPE_CHECKING:
    from wsi_embed.convert import Converted


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A store; with --from, the output folder of the other tool.",
            metavar="SOURCE",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            help="Output folder; with --from, a store. Created, or added to.",
            metavar="PATH",
            show_default=False,
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="trident, clam, dsmil, torchmil, anndata, anndata-joined (one file for all bags), "
            "spatialdata, stamp, slide-vectors, titan, prism.",
            show_default=False,
        ),
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--from", help="trident or clam.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="CSV with slide_id (or patient) and label; only labelled bags are converted.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Whether a bag is a slide or a patient.")] = "slide",
    missing: Annotated[
        str,
        typer.Option(
            "--missing", help="Labels without a bag, bags without a label or tiles: fail, or skip them."
        ),
    ] = "fail",
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder", help="With --from: name of the model, to select one of several.", show_default=False
        ),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option("--mpp", help="With --from: um per pixel of a tile, if the files do not state it."),
    ] = None,
    tile_px: Annotated[
        int | None,
        typer.Option(
            "--tile-px", min=1, help="With --from: side of a tile in pixels, if the files do not state it."
        ),
    ] = None,
    clusters: ClustersFolder = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files with other content. Default: off.")
    ] = False,
) -> None:
    """Convert a store to the format of another tool, or the features of another tool to a store.

    Complete output is not written again: after an interruption, run the same command again. Exit codes: 0 all
    done, 1 some failed, 2 wrong usage.
    """
    from wsi_embed.convert import Given, bring_in, convert
    from wsi_embed.errors import UsageError
    from wsi_embed.store import open_named_store

    if (to is None) == (format_name is None):
        raise UsageError("give either --to FORMAT (a store is written for another tool) or --from FORMAT")
    given = Given(encoder, mpp, tile_px)
    if to is not None:
        if given != Given():
            raise UsageError("--encoder, --mpp and --tile-px are for --from: a store knows them")
        done = convert(
            open_named_store(source, clusters=clusters), to, out, labels=labels,
            by=by,  # type: ignore[arg-type]  # checked by convert, like the next
            missing=missing,  # type: ignore[arg-type]
            overwrite=overwrite, on_bag=_report,
        )  # fmt: skip
    else:
        if labels is not None or by != "slide" or clusters is not None:
            raise UsageError(
                "--labels, --by and --clusters are for --to: a store takes them where it is used"
            )
        done = bring_in(source, str(format_name), out, given=given, overwrite=overwrite, on_slide=_report)
    _summarise(done, out)
    raise typer.Exit(1 if done.failed else 0)


def _report(bag: str, what: str) -> None:
    say(f"{bag}: {in_flags(what)}", err=what.startswith("failed"))


def _summarise(done: Converted, out: str) -> None:
    counts = {
        "written": done.written,
        "there already": done.skipped,
        "left out, without tiles": done.left_out,
        "failed": done.failed,
    }
    counts_text = [f"{len(bags)} {what}" for what, bags in counts.items() if bags]
    for note in done.notes:
        say(f"note: {in_flags(note)}")
    echo(f"{out}: {', '.join(counts_text)}")
