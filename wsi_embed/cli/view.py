"""`wsi-embed view STORE --slides DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.options import ClustersFolder
from wsi_embed.cli.static_site import STATIC, write_static
from wsi_embed.cli.tile_labels import LABELS, write_labels
from wsi_embed.cli.wording import in_flags


def command(
    stores: Annotated[
        list[str],
        typer.Argument(help="Stores: folders, s3://... or gs://...", metavar="STORE...", show_default=False),
    ],
    slides: Annotated[
        list[str] | None,
        typer.Option(
            "--slides",
            help="Slides of the stores: files, folders, manifests. Default: those beside the store, or in "
            "the current folder or one in it, that have the recorded names.",
            show_default=False,
        ),
    ] = None,
    clusters: ClustersFolder = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            "--attention", help="Show attention: the --out folder of wsi-embed eval mil.", show_default=False
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            help="Show annotated contours: a folder of ASAP XML or QuPath GeoJSON files named like the "
            "slides, or the file of one slide.",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="Show the slides that failed: a JSON report of the job.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. Any but a loopback address needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help="Port. Default: 8765, or a free one.", min=0, max=65535, show_default=False
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="Secret that a browser has to show. Default: none on loopback, else a random one.",
            envvar="WSI_EMBED_VIEW_TOKEN",
            show_envvar=True,
            show_default=False,
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser. Default: off.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Let the page change nothing. Default: off.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Folder for the features and the index of the search, if they are too large for memory. "
            "Default: that of the store.",
            show_default=False,
        ),
    ] = None,
    static: Annotated[
        Path | None,
        typer.Option(
            "--static",
            help="Write the page with slides and layers into a folder that any web server shows, and end.",
            show_default=False,
            rich_help_panel=STATIC,
        ),
    ] = None,
    static_um: Annotated[
        float | None,
        typer.Option(
            "--static-um",
            min=0.01,
            max=100,
            help="Finest resolution of the pictures, um per pixel. Default: that of the slides.",
            show_default=False,
            rich_help_panel=STATIC,
        ),
    ] = None,
    export_labels: Annotated[
        Path | None,
        typer.Option(
            "--export-labels",
            help="Write the tiles of named clusters with their names as labels to a CSV file, and end; does "
            "not need --slides.",
            show_default=False,
            rich_help_panel=LABELS,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="The tiles.csv of wsi-embed tile: only tiles with an image are written, with its path.",
            show_default=False,
            rich_help_panel=LABELS,
        ),
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            help="Leave out tiles of lower cluster confidence, 0 to 1.",
            rich_help_panel=LABELS,
        ),
    ] = 0.0,
) -> None:
    """Show slides with clusters, contours and attention in a browser (extra `view`).

    The page is served to this machine only, until Ctrl+C; see docs/viewer.md for an SSH tunnel.
    """
    import webbrowser

    from wsi_embed.errors import UsageError
    from wsi_embed.util.extras import needs_extra

    if export_labels is not None:
        write_labels(stores, clusters, export_labels, images, min_confidence)
        return
    if images is not None or min_confidence:
        raise UsageError("--images and --min-confidence are about --export-labels")
    with needs_extra("view", "the viewer"):
        from wsi_embed.viewer.server import is_loopback, listen
    from wsi_embed.viewer.session import open_session

    session = open_session(
        stores,
        slides or (),
        clusters=clusters,
        attention=attention,
        annotations=annotations,
        report=report,
        read_only=read_only,
        cache=cache,
        word=in_flags,
    )
    for note in session.notes:
        say(note, err=True)
    if static is not None:
        write_static(session, static, static_um)
        return
    listening = listen(session, host=host, port=port, token=token)
    echo(f"{listening.url}  (Ctrl+C to stop)")
    if not is_loopback(host):
        say("other machines can open this address; the connection is not encrypted", err=True)
    if open_browser:
        webbrowser.open(listening.url)
    try:
        listening.run()
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
