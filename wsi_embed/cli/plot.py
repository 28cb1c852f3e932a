"""`wsi-embed plot STORE --slides DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    slides: Annotated[
        list[Path],
        typer.Option("--slides", help="Where its slides are: files, folders, manifests.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the pictures. Default: plots/ beside the store.")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            help="Draw annotators' contours: a folder of ASAP XML or QuPath GeoJSON files named like the "
            "slides, or one slide's file.",
        ),
    ] = None,
    contact_sheet: Annotated[
        bool,
        typer.Option(
            "--contact-sheet",
            help="Draw typical tiles of each cluster of the store instead (A4 at 300 dpi). Default: off.",
        ),
    ] = False,
    view: Annotated[
        str, typer.Option("--view", help="both (slide and cluster map), or map (without title and legend).")
    ] = "both",
    max_px: Annotated[
        int, typer.Option("--max-px", help="Longest side of a slide in the picture, pixels.")
    ] = 1000,
    dpi: Annotated[int, typer.Option("--dpi", help="Pixels per inch, recorded in the pictures.")] = 300,
    picture_format: Annotated[str, typer.Option("--format", help="Of the pictures: png or tiff.")] = "png",
) -> None:
    """Draw each slide with its tissue outline beside its cluster map, and one legend for all of them.

    A cluster has the same colour on all slides and in all pictures.
    """
    from wsi_embed.errors import UsageError
    from wsi_embed.inputs import find_slides
    from wsi_embed.plot.run import Drawing, draw_sheet, draw_slides, select
    from wsi_embed.store import open_store

    opened = open_store(store)
    folder = out or store.resolve().parent / "plots"
    for source in slides:
        if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"{folder} lies among the slides, and the next run would take pictures for slides: use --out"
            )
    drawing = Drawing(max_px, view, annotations, dpi, picture_format)
    items = select(opened, find_slides(list(slides)), _warn)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--out {folder}: cannot be made ({error.strerror}); choose another place"
        ) from error
    draw = draw_sheet if contact_sheet else draw_slides
    failed = draw(opened, items, folder, drawing, typer.echo, _warn)
    raise typer.Exit(1 if failed else 0)


def _warn(line: str) -> None:
    typer.echo(line, err=True)
