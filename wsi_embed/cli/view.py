"""`wsi-embed view STORE --slides DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.options import ClustersFolder


def command(
    stores: Annotated[
        list[str],
        typer.Argument(help="Stores: folders, s3://... or gs://...", metavar="STORE...", show_default=False),
    ],
    slides: Annotated[
        list[str],
        typer.Option("--slides", help="Slides of the stores: files, folders, manifests.", show_default=False),
    ],
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
) -> None:
    """Show slides with clusters, contours and attention in a browser (extra `view`).

    The page is served to this machine only, until Ctrl+C; see docs/viewer.md for an SSH tunnel.
    """
    import webbrowser

    from wsi_embed.util.extras import needs_extra

    with needs_extra("view", "the viewer"):
        from wsi_embed.viewer.server import listen
    from wsi_embed.viewer.session import open_session

    session = open_session(
        stores,
        slides,
        clusters=clusters,
        attention=attention,
        annotations=annotations,
        report=report,
        read_only=read_only,
    )
    listening = listen(session, host=host, port=port, token=token)
    typer.echo(f"{listening.url}  (Ctrl+C ends)")
    if open_browser:
        webbrowser.open(listening.url)
    try:
        listening.run()
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
