"""The two views of a slide: thumbnail with tissue outline, and cluster map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.bags.geometry import tiles_at
from wsi_embed.grid import TileGrid
from wsi_embed.plot.bag_tiles import Tiles
from wsi_embed.plot.colours import OUTLINE, cluster_colour
from wsi_embed.slide import Slide, UInt8Array

FloatArray = npt.NDArray[np.float64]
PALE = 0.25


@dataclass(frozen=True)
class View:
    """Whole slide at the size of the picture.

    Attributes:
        pixels: RGB, uint8 [h, w, 3].
        scale: Pixels of the view per level-0 pixel, (x, y).
    """

    pixels: UInt8Array
    scale: tuple[float, float]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def to_view(self, xy: npt.NDArray[Any]) -> FloatArray:
        """Convert level-0 positions [P, 2] to view positions; pixel centres are half-integers in both."""
        return np.asarray(xy * np.array(self.scale))


def make_view(slide: Slide, max_px: int, around_unreadable: bool = False) -> View:
    """Read a slide at a size of `max_px`; smaller slides are enlarged.

    Args:
        slide: The open slide.
        max_px: Longest side of the view, pixels.
        around_unreadable: Whether parts that cannot be decoded become white instead of an error, as in a job
            that continues in spite of them.
    """
    width, height = slide.level_sizes[0]
    pixels = slide.thumbnail(max_px, [] if around_unreadable else None)
    factor = max_px / max(pixels.shape[:2])
    if factor > 1.01:
        size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return View(pixels, (pixels.shape[1] / width, pixels.shape[0] / height))


def outlined(view: View, tiles: Tiles, line: int) -> UInt8Array:
    """Draw the slide, with the outline of the tissue mask if the store has one."""
    pixels = view.pixels.copy()
    if tiles.tissue is None:
        return pixels
    fx, fy = (s * v for s, v in zip(tiles.tissue_scale, view.scale, strict=True))
    # maps pixel centres to pixel centres; otherwise the outline would be off by half a mask pixel
    move = np.array([[fx, 0, fx / 2 - 0.5], [0, fy, fy / 2 - 0.5]])
    large = cv2.warpAffine(tiles.tissue.astype(np.uint8) * 255, move, view.size, flags=cv2.INTER_LINEAR)
    # smoothed, so that the pixels of the mask are not visible
    large = cv2.GaussianBlur(large, (0, 0), 0.1 + 0.5 * fx, sigmaY=0.1 + 0.5 * fy)
    contours, _ = cv2.findContours((large > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(pixels, contours, -1, OUTLINE, line, cv2.LINE_AA), np.uint8)


def cluster_map(view: View, tiles: Tiles, line: int) -> UInt8Array:
    """Draw the slide in pale colours, with tiles in the colours of their clusters.

    Without clusters, tiles are drawn as frames.
    """
    if tiles.cluster is None:
        return _framed(_pale(view), view, tiles.grid, max(1, line // 2))
    colours = np.array([cluster_colour(c, tiles.names) for c in tiles.cluster.tolist()], np.uint8)
    colours = colours.reshape(-1, 3)
    return tile_map(view, tiles.grid, colours)


def tile_map(view: View, grid: TileGrid, colours: UInt8Array) -> UInt8Array:
    """Draw the slide in pale colours, with tiles in the given colours, RGB uint8 [N, 3]."""
    pixels, cell = _pale(view), tile_at_pixels(grid, view)
    pixels[cell >= 0] = colours[cell[cell >= 0]]
    return pixels


def tile_at_pixels(grid: TileGrid, view: View) -> npt.NDArray[np.int32]:
    """Return the row of the tile under the centre of each pixel of the view, int32 [h, w]; -1 for none."""
    xs, ys = ((np.arange(n) + 0.5) / scale for n, scale in zip(view.size, view.scale, strict=True))
    return tiles_at(grid, xs, ys)


def _pale(view: View) -> UInt8Array:
    return (255 - (255 - view.pixels.astype(np.float32)) * PALE).astype(np.uint8)


def _framed(pale: UInt8Array, view: View, grid: TileGrid, line: int) -> UInt8Array:
    first = view.to_view(grid.level_xy * np.array(grid.scale))
    last = first + np.array(view.scale) * grid.scale * grid.read_px
    for (x0, y0), (x1, y1) in zip(np.rint(first).astype(int), np.rint(last).astype(int), strict=True):
        right, bottom = max(int(x0), int(x1) - 1), max(int(y0), int(y1) - 1)
        cv2.rectangle(pale, (int(x0), int(y0)), (right, bottom), OUTLINE, line)
    return pale
