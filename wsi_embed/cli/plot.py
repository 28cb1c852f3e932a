"""`wsi-embed plot STORE --slides DIR`, `wsi-embed plot STORE --geojson`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_embed.cli.command import joined
from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.options import ClustersFolder, StorePlace
from wsi_embed.cli.wording import in_flags

if TYPE_CHECKING:
    from wsi_embed.store import Store

FILES, CONTENT, QUPATH = "Files", "Content", "QuPath"


def command(
    store: StorePlace,
    slides: Annotated[
        list[Path] | None,
        typer.Option(
            "--slides",
            help="Slides of the store: files, folders, manifests. Default: those beside the store, or in the "
            "current folder or one in it, that have the recorded names.",
            show_default=False,
            rich_help_panel=FILES,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Output folder. Default: <store>-plots, beside the store.", rich_help_panel=FILES
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            help="Draw annotated contours: a folder of ASAP XML or QuPath GeoJSON files named like the "
            "slides, or the file of one slide.",
            rich_help_panel=CONTENT,
        ),
    ] = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            "--attention",
            help="Draw attention instead of clusters: the --out folder of wsi-embed eval mil.",
            show_default=False,
            rich_help_panel=CONTENT,
        ),
    ] = None,
    attention_class: Annotated[
        str | None,
        typer.Option(
            "--attention-class",
            help="Class of the attention (dsmil). Default: the predicted class.",
            rich_help_panel=CONTENT,
        ),
    ] = None,
    clusters: ClustersFolder = None,
    contact_sheet: Annotated[
        bool,
        typer.Option(
            "--contact-sheet",
            help="Draw typical tiles of each cluster of the store instead (A4 at 300 dpi). Default: off.",
            rich_help_panel=CONTENT,
        ),
    ] = False,
    view: Annotated[
        str,
        typer.Option(
            "--view",
            help="both (slide and cluster map), map (without title and legend), or a measure of quality "
            "instead of clusters: focus, pen, dark.",
            rich_help_panel=CONTENT,
        ),
    ] = "both",
    max_px: Annotated[
        int,
        typer.Option(
            "--max-px", help="Longest side of a slide in the picture, pixels.", rich_help_panel=CONTENT
        ),
    ] = 1000,
    dpi: Annotated[
        int, typer.Option("--dpi", help="Pixels per inch, recorded in the pictures.", rich_help_panel=FILES)
    ] = 300,
    picture_format: Annotated[
        str, typer.Option("--format", help="Picture format: png or tiff.", rich_help_panel=FILES)
    ] = "png",
    reader: Annotated[
        str | None,
        typer.Option(
            "--reader",
            help="Reader of slides: auto, openslide, tiff, zarr or fastslide. Default: as in the job.",
            rich_help_panel=FILES,
        ),
    ] = None,
    geojson: Annotated[
        bool,
        typer.Option(
            "--geojson",
            help="Write <slide id>.geojson for QuPath; does not need --slides.",
            rich_help_panel=QUPATH,
        ),
    ] = False,
    geojson_parts: Annotated[
        list[str] | None,
        typer.Option(
            "--geojson-parts",
            help="Parts to write, separated by commas; may be repeated. Default: tissue,clusters,tiles.",
            show_default=False,
            rich_help_panel=QUPATH,
        ),
    ] = None,
) -> None:
    """Draw each slide with its tissue outline beside its cluster map, and one legend for all slides.

    A cluster has the same colour in all pictures. With --geojson, write tissue, clusters and tiles for
    QuPath, which does not need the slides.
    """
    from wsi_embed.errors import UsageError
    from wsi_embed.inputs.slides import find_slides
    from wsi_embed.plot.chosen_slides import find_recorded, select
    from wsi_embed.plot.draw_slides import Drawing, draw_sheet, draw_slides
    from wsi_embed.store import open_named_store
    from wsi_embed.util.links import real_path

    opened = open_named_store(store, clusters=clusters)
    folder = out or opened.near.with_name(f"{opened.near.stem}-plots")
    failed = _write_geojson(opened, folder, joined(geojson_parts)) if geojson else 0
    if geojson and not slides:
        raise typer.Exit(1 if failed else 0)
    for source in slides or ():
        if source.is_dir() and real_path(folder).is_relative_to(real_path(source)):
            raise UsageError(
                "is inside the folder of slides, and the next run would take pictures for slides",
                where=folder,
                remedy="use --out",
            )
    drawing = Drawing(
        max_px, view, annotations, attention, attention_class, dpi, picture_format,
        reader,
    )  # fmt: skip
    items = select(opened, find_slides(list(slides)), _warn) if slides else find_recorded(opened)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot be made ({error.strerror})", where=f"--out {folder}", remedy="choose another place"
        ) from error
    draw = draw_sheet if contact_sheet else draw_slides
    failed += draw(opened, items, folder, drawing, echo, _warn)
    raise typer.Exit(1 if failed else 0)


def _warn(line: str) -> None:
    say(in_flags(line), err=True)


def _write_geojson(store: Store, folder: Path, wanted: str | None) -> int:
    """Write one file per slide; return the number of slides that failed."""
    from wsi_embed.plot.geojson_files import write_slides
    from wsi_embed.plot.qupath import PARTS, parse_parts
    from wsi_embed.util.progress import tracked
    from wsi_embed.util.text import counted

    failed, parts = 0, PARTS if wanted is None else parse_parts(wanted)
    slide_ids = store.slide_ids
    for file in tracked(write_slides(store, slide_ids, folder, parts), "slides written", len(slide_ids)):
        if file.error is not None:
            failed += 1
            named = file.error.startswith((f"{file.slide_id}:", f"{file.slide_id}/"))
            say(in_flags(file.error if named else f"{file.slide_id}: {file.error}"), err=True)
            continue
        echo(f"{file.path}  {counted(file.objects, 'object')}")
        if "tissue" in parts and not file.has_mask:
            say(f"{file.slide_id}: no tissue outline, the store was made without masks", err=True)
    return failed
