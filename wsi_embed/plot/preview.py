"""Pictures of slides before their tiles are read: the outline of the tissue, and the tiles."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from wsi_embed.grid import TileGrid
from wsi_embed.plot.bag_tiles import Tiles
from wsi_embed.plot.style import Style
from wsi_embed.plot.views import cluster_map, make_view, outlined
from wsi_embed.slide import UInt8Array
from wsi_embed.tiling.plan import SlidePlan
from wsi_embed.tissue import TissueMask

PREVIEW_PX = 320


def draw_preview(plan: SlidePlan, grid: TileGrid, mask: TissueMask) -> dict[str, bytes]:
    """Draw a prepared slide twice: with the outline of its tissue mask, and with its tiles as frames.

    Args:
        plan: Open slide and how to read it.
        grid: Tiles of the slide.
        mask: Tissue mask.

    Returns:
        JPEG images by caption.

    Raises:
        SlideError: If the slide cannot be read.
    """
    tiles = Tiles(
        plan.item.slide_id, grid, None, plan.resolution.mpp, None, np.asarray(mask.mask), mask.scale
    )
    view, line = make_view(plan.slide, PREVIEW_PX), Style(PREVIEW_PX).line
    return {
        "tissue": _jpeg(outlined(view, tiles, line)),
        "tiles": _jpeg(cluster_map(view, tiles, line)),
    }


def _jpeg(pixels: UInt8Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
