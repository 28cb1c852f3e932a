"""Commands for messages that convert a slide into a readable one. Each was tested with libvips 8.14.

IN and OUT stand for the user's files. libvips keeps the resolution tags, and therefore the mpp.
"""

from __future__ import annotations

from pathlib import Path

from wsi_embed.errors import SlideError

OUT = '"OUT.tif[tile,pyramid,compression=jpeg,Q=90,bigtiff]"'
TIFFSAVE = "`vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg --Q 90 --bigtiff`"
ONE_PAGE = TIFFSAVE.replace("IN", '"IN[page=N]"')
ONE_PLANE = (
    f"save it as a file of its own, for example with {ONE_PAGE} (N counts the images of the file from 0)"
)
OTHER_READER = "use `reader='auto'`"
WITH_FASTSLIDE = "install the extra `formats` and use `reader='fastslide'`"
JOIN_PLANES = (
    f'`vips bandjoin "IN[page=0] IN[page=1] IN[page=2]" T.v && vips copy T.v {OUT} --interpretation srgb`'
)


def vips(operation: str, options: str = "") -> str:
    """Return the command line of a libvips operation that reads IN and writes a tiled pyramid."""
    return f"`{f'vips {operation} IN {OUT} {options}'.rstrip()}`"


def without_folder(folder: Path) -> SlideError:
    """Return the error for a slide whose folder with the pixels is missing."""
    return SlideError(
        f"not a slide without its folder {folder.name}/, which is not beside it", remedy="copy both"
    )
