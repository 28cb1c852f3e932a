"""Contact sheets: a row of typical tiles for each cluster of a store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.plot.colours import INK, cluster_colour
from wsi_embed.plot.style import Style, font, shortened
from wsi_embed.plot.typical_tiles import Cluster, OnError, Typical, find_typical
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.store import Bag
from wsi_embed.util.text import counted, percent

# An A4 page at 300 pixels per inch, with tiles of the usual 224 pixels at their original size.
STYLE = Style(1500)
TILE = 224
GAP = 12
TILES_A_ROW = 8
ROWS_A_PAGE = 12
LABEL = 500
ABSENT = (235, 235, 235)

OpenById = Callable[[str], Slide]


def contact_sheet(
    bags: Mapping[str, Bag],
    drawable: Collection[str],
    open_by_id: OpenById,
    on_error: OnError,
    names: ClusterNames | None = None,
) -> Iterator[tuple[str, Image.Image]]:
    """Draw the clusters of a store, the largest first, with counts and typical tiles.

    Args:
        bags: All bags of a store.
        drawable: Ids of the slides from which tiles may be shown.
        open_by_id: Function that opens one of these slides. The slide is closed after each page.
        on_error: Function called with a slide id and an error, for damaged bags, which are left out, and for
            unreadable slides, whose tiles are drawn grey.
        names: Names and colours of the clusters.

    Yields:
        Name (`clusters`, or `clusters-1`, ... for several pages) and picture of each page.

    Raises:
        UsageError: If the store has no clusters or no tiles.

    Example:
        >>> from wsi_embed import open_slide, open_store
        >>> from wsi_embed.plot import contact_sheet
        >>> store = open_store("feats.zarr")
        >>> pages = contact_sheet(store, ["a"], lambda name: open_slide(f"slides/{name}.tiff"), print)
        >>> [name for name, picture in pages]
        ['clusters']
    """
    clusters, slides = find_typical(bags, drawable, TILES_A_ROW, on_error)
    if not clusters:
        raise UsageError("the store holds no tiles: there is nothing to show")
    total = sum(cluster.tiles for cluster in clusters)
    pages = [clusters[i : i + ROWS_A_PAGE] for i in range(0, len(clusters), ROWS_A_PAGE)]
    title = f"{counted(len(clusters), 'cluster')}, {counted(total, 'tile')} of {counted(slides, 'slide')}"
    for number, page in enumerate(pages, start=1):
        several = len(pages) > 1
        tiles = _read(page, bags, open_by_id, on_error)
        heading = f"{title}   ({number} of {len(pages)})" if several else title
        picture = _drawn(page, tiles, heading, total, names or ClusterNames())
        yield f"clusters-{number}" if several else "clusters", picture


def read_bag_tiles(slide: Slide, bag: Bag, rows: Sequence[int]) -> dict[int, UInt8Array]:
    """Read the pixels of tiles of a bag as they were encoded.

    Args:
        slide: Open slide of the bag.
        bag: The bag.
        rows: Rows of the tiles in the bag.

    Returns:
        Tiles by row, uint8 [tile_px, tile_px, 3].

    Raises:
        SlideError: If the slide cannot be read.
        StoreError: If the bag is damaged.
    """
    wanted = np.zeros(len(bag), np.bool_)
    wanted[list(rows)] = True
    grid = bag_grid(bag).where(wanted)
    return {sorted(rows)[index]: tile for index, tile in slide.read_tiles(grid)}


def _read(
    page: Sequence[Cluster], bags: Mapping[str, Bag], open_by_id: OpenById, on_error: OnError
) -> dict[Typical, UInt8Array]:
    """Read the tiles of a page, slide by slide."""
    by_slide: dict[str, list[Typical]] = {}
    for cluster in page:
        for typical in cluster.typical:
            by_slide.setdefault(typical.slide_id, []).append(typical)
    tiles = {}
    for slide_id, wanted in sorted(by_slide.items()):
        try:
            with open_by_id(slide_id) as slide:
                found = read_bag_tiles(slide, bags[slide_id], [t.row for t in wanted])
            tiles.update({typical: found[typical.row] for typical in wanted})
        except WsiEmbedError as error:
            on_error(slide_id, error)
    return tiles


def _drawn(
    page: Sequence[Cluster],
    tiles: Mapping[Typical, UInt8Array],
    title: str,
    total: int,
    names: ClusterNames,
) -> Image.Image:
    margin, step = STYLE.margin, TILE + GAP
    top = 2 * margin + STYLE.title
    width = 2 * margin + LABEL + TILES_A_ROW * step - GAP
    canvas = Image.new("RGB", (width, top + len(page) * step - GAP + margin), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((margin, margin), title, INK, font=font(STYLE.title))
    for index, cluster in enumerate(page):
        y = top + index * step
        _label(draw, (margin, y), cluster, total, names)
        for column, typical in enumerate(cluster.typical):
            x = margin + LABEL + column * step
            if typical in tiles:
                canvas.paste(Image.fromarray(_sized(tiles[typical])), (x, y))
            else:
                draw.rectangle((x, y, x + TILE - 1, y + TILE - 1), ABSENT)
    return canvas


def _label(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], cluster: Cluster, total: int, names: ClusterNames
) -> None:
    x, y = at
    draw.rectangle((x, y, x + STYLE.text, y + TILE - 1), cluster_colour(cluster.number, names))
    x += 2 * STYLE.text
    lines = (
        f"{counted(cluster.tiles, 'tile')}, {percent(cluster.tiles / total)}",
        f"on {counted(cluster.slides, 'slide')}",
        "" if cluster.typical else "none on the slides given",
    )
    name = names[cluster.number]
    title = f"{cluster.number}: {name}" if cluster.number in names.names else name
    draw.text((x, y), shortened(title, STYLE.title, LABEL - 3 * STYLE.text), INK, font=font(STYLE.title))
    for number, line in enumerate(lines):
        below = y + round(1.5 * STYLE.title) + number * STYLE.row
        text = shortened(line, STYLE.text, LABEL - 3 * STYLE.text)
        draw.text((x, below), text, INK, font=font(STYLE.text))


def _sized(tile: UInt8Array) -> UInt8Array:
    side = tile.shape[0]
    if side == TILE:
        return tile
    how = cv2.INTER_AREA if side > TILE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(tile, (TILE, TILE), interpolation=how), np.uint8)
