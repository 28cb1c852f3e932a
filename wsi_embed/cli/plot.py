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
    max_px: Annotated[
        int, typer.Option("--max-px", help="Longest side of a slide in the picture, pixels.")
    ] = 1000,
) -> None:
    """Draw each slide with its tissue outline beside its cluster map, as PNG."""
    from wsi_embed.errors import UsageError, WsiEmbedError
    from wsi_embed.inputs import find_slides
    from wsi_embed.plot import plot_bag
    from wsi_embed.slide import open_slide
    from wsi_embed.store import open_store

    opened = open_store(store)
    folder = out or store.resolve().parent / "plots"
    for source in slides:
        if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"{folder} lies among the slides, and the next run would take pictures for slides: use --out"
            )
    items = [item for item in find_slides(list(slides)) if item.slide_id in opened]
    if not items:
        raise UsageError(f"none of the slides in {', '.join(map(str, slides))} is in {store}")
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for item in items:
        try:
            with open_slide(item.path) as slide:
                picture = plot_bag(slide, opened[item.slide_id], max_px=max_px)
            picture.save(folder / f"{item.slide_id}.png")
            typer.echo(f"{folder / item.slide_id}.png")
        except WsiEmbedError as error:
            failed += 1
            typer.echo(f"{item.slide_id}: {error}", err=True)
    raise typer.Exit(1 if failed else 0)
