"""Pictures of a bag: the slide with its tissue outline beside its cluster map."""

from __future__ import annotations

import colorsys
from collections import Counter

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from wsi_embed.errors import SlideError
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.store import Bag
from wsi_embed.tissue import TissueRecipe, tissue_mask

MARGIN = 24
TITLE = 56
LEGEND = 190
LEGEND_ROWS = 24
INK = (40, 40, 40)
OUTLINE = (0, 140, 70)
# Twenty colours that stay apart side by side; further clusters get generated ones.
PALETTE = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
    (10, 60, 120), (255, 200, 80), (150, 220, 130), (120, 10, 40), (200, 175, 230),
    (90, 50, 20), (250, 170, 190), (0, 110, 100), (110, 120, 10), (130, 210, 245),
)  # fmt: skip


def cluster_colour(cluster: int) -> tuple[int, int, int]:
    """Colour of a cluster, RGB: the same in every picture."""
    if cluster < len(PALETTE):
        return PALETTE[cluster]
    hue = (cluster * 0.618034) % 1  # golden angle: neighbours differ most
    r, g, b = colorsys.hls_to_rgb(hue, (0.35, 0.5, 0.65)[cluster % 3], 0.75)
    return round(255 * r), round(255 * g), round(255 * b)


def plot_bag(slide: Slide, bag: Bag, *, max_px: int = 1000) -> Image.Image:
    """Draw a slide: thumbnail with tissue outline, cluster map, legend.

    Without clusters the right side shows which tiles were taken.

    Args:
        slide: The open slide the bag was made from.
        bag: From the store.
        max_px: Longest side of each of the two views, pixels.

    Raises:
        SlideError: The slide is not the one the bag was made from.
    """
    if slide.fingerprint != bag.attrs["slide_fingerprint"]:
        raise SlideError(f"{slide.path.name} is not the slide that the store has under {bag.slide_id!r}")
    view = _view(slide, max_px)
    left = _outlined(view, slide, bag)
    right, counts = _mapped(view, slide, bag)
    height, width = view.shape[:2]
    rows = max(height, min(len(counts), LEGEND_ROWS + 1) * 26)
    canvas = Image.new("RGB", (2 * width + LEGEND + 4 * MARGIN, rows + TITLE + MARGIN), "white")
    canvas.paste(Image.fromarray(left), (MARGIN, TITLE))
    canvas.paste(Image.fromarray(right), (width + 2 * MARGIN, TITLE))
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 14), _title(bag), INK, font=ImageFont.load_default(20))
    _draw_legend(draw, counts, (2 * width + 3 * MARGIN, TITLE))
    return canvas


def _view(slide: Slide, max_px: int) -> UInt8Array:
    """The slide at `max_px`, enlarged where it is smaller, so that small slides can be seen too."""
    view = slide.thumbnail(max_px)
    scale = max_px / max(view.shape[:2])
    if scale <= 1.01:
        return view
    return np.asarray(cv2.resize(view, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)


def _outlined(view: UInt8Array, slide: Slide, bag: Bag) -> UInt8Array:
    mask = tissue_mask(slide, bag.attrs["mpp"], TissueRecipe(**bag.attrs["tissue"])).mask
    size = (view.shape[1], view.shape[0])
    large = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_LINEAR)
    smooth = (large > 127).astype(np.uint8)
    contours, _ = cv2.findContours(smooth, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(view.copy(), contours, -1, OUTLINE, 2, cv2.LINE_AA), np.uint8)


def _mapped(view: UInt8Array, slide: Slide, bag: Bag) -> tuple[UInt8Array, Counter[int]]:
    """The pale slide with a coloured square a tile, and how often each cluster occurs."""
    pale = (255 - (255 - view.astype(np.float32)) * 0.25).astype(np.uint8)
    scale = view.shape[1] / slide.level_sizes[0][0]
    corners = bag.coords[:] * scale
    side = bag.attrs["extent"] * scale
    clusters: npt.NDArray[np.int16] = bag.cluster[:] if bag.cluster is not None else np.full(len(bag), -1)
    for (x, y), cluster in zip(np.asarray(corners), clusters.tolist(), strict=True):
        first = (round(float(x)), round(float(y)))
        last = (max(first[0], round(float(x + side)) - 1), max(first[1], round(float(y + side)) - 1))
        colour = cluster_colour(cluster) if cluster >= 0 else OUTLINE
        cv2.rectangle(pale, first, last, colour, cv2.FILLED if cluster >= 0 else 1)
    return pale, Counter(c for c in clusters.tolist() if c >= 0)


def _title(bag: Bag) -> str:
    a = bag.attrs
    return f"{bag.slide_id}   {len(bag)} tiles of {a['tile_px']} px at {a['effective_mpp']:.3g} um per pixel"


def _draw_legend(draw: ImageDraw.ImageDraw, counts: Counter[int], at: tuple[int, int]) -> None:
    font, (x, y) = ImageFont.load_default(16), at
    total = counts.total()
    for row, (cluster, count) in enumerate(counts.most_common(LEGEND_ROWS)):
        top = y + 26 * row
        draw.rectangle((x, top, x + 18, top + 18), cluster_colour(cluster))
        draw.text((x + 28, top), f"cluster {cluster}   {100 * count / total:.0f} %", INK, font=font)
    if len(counts) > LEGEND_ROWS:
        text = f"and {len(counts) - LEGEND_ROWS} more"
        draw.text((x, y + 26 * LEGEND_ROWS), text, INK, font=font)


def draw_views(slide: Slide, bag: Bag, *, max_px: int) -> tuple[Image.Image, Image.Image]:
    """The slide with its tissue outline, and its cluster map; see `plot_bag`."""
    if slide.fingerprint != bag.attrs["slide_fingerprint"]:
        raise SlideError(f"{slide.path.name} is not the slide that the store has under {bag.slide_id!r}")
    view = _view(slide, max_px)
    return Image.fromarray(_outlined(view, slide, bag)), Image.fromarray(_mapped(view, slide, bag)[0])
