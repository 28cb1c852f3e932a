"""Pictures of a bag: slide and cluster map side by side, with contours, legend and scale bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PIL import Image, ImageDraw

from wsi_embed.errors import UsageError
from wsi_embed.plot.annotations import ClassColours, draw_contours
from wsi_embed.plot.attention import Heat
from wsi_embed.plot.bag_tiles import Tiles, check_same_slide, read_tiles
from wsi_embed.plot.colours import INK, class_colours
from wsi_embed.plot.legend import Columns, slide_entries
from wsi_embed.plot.quality import QualityMap, quality_map
from wsi_embed.plot.style import Style, font, shortened, text_width
from wsi_embed.plot.views import cluster_map, make_view, outlined, tile_map
from wsi_embed.quality import MEASURES
from wsi_embed.regions import Polygon
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.store import Bag
from wsi_embed.util.text import argument, counted

# Longest side of a view; the largest picture takes some gigabytes.
SMALLEST_PX, LARGEST_PX = 100, 20_000


def plot_bag(
    slide: Slide,
    bag: Bag,
    *,
    max_px: int = 1000,
    annotations: Sequence[Polygon] = (),
    classes: ClassColours | None = None,
    view: str = "both",
    heat: Heat | None = None,
) -> Image.Image:
    """Draw a slide: thumbnail with tissue outline, cluster map, legend and scale bar.

    Without clusters, the map shows the outlines of the tiles.

    Args:
        slide: Open slide from which the bag was made.
        bag: Bag of the slide, from the store.
        max_px: Longest side of each view, pixels. Text and lines scale with it.
        annotations: Polygons to draw as contours over both views.
        classes: Colours of annotation classes. Pass those of all slides to get the same colours in several
            pictures; by default they are chosen for this slide.
        view: `both`, or `map` for the cluster map and the scale bar only, for a figure of several slides; or
            a measure of quality (`focus`, `pen`, `dark`) to draw instead of clusters.
        heat: Heat map to draw instead of the cluster map.

    Returns:
        The picture, RGB.

    Raises:
        SlideError: If the slide cannot be read, or is not the one from which the bag was made.
        StoreError: If the bag is damaged.
        UsageError: If there is no such view, or `max_px` is too small or too large.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed import open_slide, open_store
        >>> from wsi_embed.plot import plot_bag, save_picture
        >>> store = open_store("feats.zarr")
        >>> with open_slide("slides/a.tiff") as slide:
        ...     picture = plot_bag(slide, store["a"], max_px=300)
        >>> save_picture(picture, Path("a.png"))
    """
    check_view(view, max_px)
    tiles = read_tiles(bag)
    shown: Heat | QualityMap | None = quality_map(bag, view) if view in MEASURES else heat
    check_same_slide(slide, bag.slide_id, tiles.fingerprint)
    style, seen = Style(max_px), make_view(slide, max_px, bool(bag.attrs.get("bad_tiles")))
    labels = {polygon.label for polygon in annotations}
    stated = ((polygon.label, polygon.colour) for polygon in annotations)
    known = {**class_colours(labels, stated), **(classes or {})}
    colours = {label: colour for label, colour in known.items() if label in labels}
    panels = [tile_map(seen, tiles.grid, shown.colours) if shown else cluster_map(seen, tiles, style.line)]
    if view != "map":
        panels.insert(0, outlined(seen, tiles, style.line))
    for panel in panels:
        draw_contours(panel, seen, annotations, colours, style.line)
    bar = (tiles.mpp / seen.scale[0], style)
    if view == "map":
        return _with_bar(panels[0], *bar)
    entries = slide_entries(
        Counter() if shown else tiles.counts, colours, tiles.tissue is not None, tiles.names
    )
    entries += shown.entries if shown else []
    legend = Columns(entries, style, height=max(seen.size[1], 8 * style.row))
    facts = shown.facts if shown else _facts(tiles)
    return _composed([_with_bar(panel, *bar) for panel in panels], legend, (tiles.slide_id, facts), style)


def draw_views(slide: Slide, bag: Bag, *, max_px: int) -> tuple[Image.Image, Image.Image]:
    """Draw the slide with its tissue outline, and its cluster map, without legend or margins.

    Args:
        slide: Open slide from which the bag was made.
        bag: Bag of the slide, from the store.
        max_px: Longest side of each picture, pixels.

    Returns:
        The two pictures, RGB.

    Raises:
        SlideError: If the slide cannot be read, or is not the one from which the bag was made.
        StoreError: If the bag is damaged.

    Example:
        >>> from wsi_embed import open_slide, open_store
        >>> from wsi_embed.plot import draw_views
        >>> with open_slide("slides/a.tiff") as slide:
        ...     tissue, clusters = draw_views(slide, open_store("feats.zarr")["a"], max_px=300)
        >>> max(clusters.size)
        300
    """
    tiles = read_tiles(bag)
    check_same_slide(slide, bag.slide_id, tiles.fingerprint)
    seen, line = make_view(slide, max_px, bool(bag.attrs.get("bad_tiles"))), Style(max_px).line
    return Image.fromarray(outlined(seen, tiles, line)), Image.fromarray(cluster_map(seen, tiles, line))


def check_view(view: str, max_px: int) -> None:
    """Check a view and a size.

    Raises:
        UsageError: If there is no such view, or `max_px` is too small.
    """
    if view not in (views := ("both", "map", *MEASURES)):
        raise UsageError(f"choose {', '.join(views[:-1])} or {views[-1]}", where=argument("view", view))
    if max_px < SMALLEST_PX:
        raise UsageError(
            "too small to be legible", where=argument("max_px", max_px), remedy=f"use {SMALLEST_PX} or more"
        )
    if max_px > LARGEST_PX:
        raise UsageError(
            "too large for a picture", where=argument("max_px", max_px), remedy=f"use {LARGEST_PX} or less"
        )


def _composed(
    panels: list[Image.Image], legend: Columns, heading: tuple[str, str], style: Style
) -> Image.Image:
    """Compose the picture: title and caption on top, views side by side, legend on the right."""
    margin, top = style.margin, 2 * style.margin + style.title + style.row
    x = margin
    places = []
    for panel in panels:
        places.append((x, top))
        x += panel.width + margin
    width = x + (legend.size[0] + margin if legend.entries else 0)
    name, facts = heading
    width = max(width, text_width(facts, style.text) + 2 * margin)
    height = top + max(panels[0].height, legend.size[1]) + margin
    canvas = Image.new("RGB", (width, height), "white")
    for panel, place in zip(panels, places, strict=True):
        canvas.paste(panel, place)
    draw = ImageDraw.Draw(canvas)
    title = shortened(name, style.title, width - 2 * margin)
    draw.text((margin, margin), title, INK, font=font(style.title))
    below = margin + style.title + round(0.4 * style.text)
    draw.text((margin, below), facts, INK, font=font(style.text))
    legend.draw(draw, (x, top))
    return canvas


def _facts(tiles: Tiles) -> str:
    plan = tiles.grid.plan
    size = f"{plan.tile_px} px at {plan.effective_mpp:.3g} µm per pixel"
    clusters = f", {counted(len(tiles.counts), 'cluster')}" if tiles.counts else ""
    return f"{counted(len(tiles.grid), 'tile')} of {size}{clusters}"


def _with_bar(panel: UInt8Array, um_per_px: float, style: Style) -> Image.Image:
    """Add a scale bar below a view. Its text may be wider than the view."""
    height, width = panel.shape[:2]
    um = bar_length(um_per_px * width)
    text = f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"
    left, middle = style.line, height + style.row
    right = left + round(um / um_per_px)
    end = right + style.text + text_width(text, style.text)
    canvas = Image.new("RGB", (max(width, end + 1), height + 2 * style.row), "white")
    canvas.paste(Image.fromarray(panel), (0, 0))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, middle - style.line, right, middle + style.line), INK)
    draw.text((right + style.text, middle), text, INK, font=font(style.text), anchor="lm")
    return canvas


def bar_length(width_um: float) -> float:
    """Return the largest of 1, 2, 5, 10, ... um that is at most a quarter of the width of a view."""
    step = 1.0
    lengths = []
    while step <= width_um:
        lengths += [step, 2 * step, 5 * step]
        step *= 10
    return max((length for length in lengths if length <= width_um / 4), default=width_um / 4)
