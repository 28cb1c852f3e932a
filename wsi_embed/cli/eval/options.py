"""Options shared by several evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STORE = "Tiles of a store"

Annotations = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        help="Annotated regions (GeoJSON, ASAP XML), which define the classes: a folder with one file per "
        "slide, named like the slides. A tile belongs to the region around its centre.",
        rich_help_panel=STORE,
    ),
]
Rest = Annotated[
    str | None,
    typer.Option(
        "--rest",
        help="Class of the tiles outside all regions. Default: they are left out.",
        rich_help_panel=STORE,
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        help="Labels to take, CLASS or CLASS=NAME, separated by commas; may be repeated. Where regions "
        "overlap, the class named first counts. Default: all labels of --tiles.",
    ),
]
