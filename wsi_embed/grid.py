"""Tile geometry of a slide: read level, lattice and coordinates. No pixels, no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import ResolutionError, UsageError
from wsi_embed.util.text import argument

Edge = Literal["drop", "pad"]
Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]

TOLERANCE = 0.01


@dataclass(frozen=True)
class ReadPlan:
    """Level from which tiles are read, and their size on it.

    Attributes:
        level: Index of the read level.
        read_px: Side of a tile in pixels of the read level; resampled to `tile_px` where they differ.
        tile_px: Side of a tile as the encoder receives it, pixels.
        effective_mpp: Micrometres per pixel of the tile as the encoder receives it.
        dct_scale: Denominator of the scale at which the JPEG decoder decodes (1, 2, 4 or 8), before
            resampling.
    """

    level: int
    read_px: int
    tile_px: int
    effective_mpp: float
    dct_scale: int = 1

    @property
    def resampling(self) -> str:
        """Name of the resampling from level pixels to tile pixels, as recorded in stores."""
        return "area" if self.dct_scale == 1 else f"dct 1/{self.dct_scale}, area"

    @property
    def decoded_px(self) -> int:
        """Side of a tile after decoding, pixels."""
        return self.read_px // self.dct_scale

    @property
    def resampled(self) -> bool:
        """Whether tiles are resampled after reading."""
        return self.read_px != self.tile_px


def plan_read(mpp: float, level_downsamples: Sequence[float], target_mpp: float, tile_px: int) -> ReadPlan:
    """Choose the read level and the read size.

    The level is the coarsest whose resolution exceeds the target by at most 1 %. A read size within 1 % of
    `tile_px` is set to `tile_px`, so that nothing is resampled.

    Args:
        mpp: Micrometres per pixel of level 0.
        level_downsamples: Level-0 pixels per pixel of each level.
        target_mpp: Micrometres per pixel that the encoder expects.
        tile_px: Side of a tile that the encoder expects, pixels.

    Returns:
        The plan, with `dct_scale` 1.

    Raises:
        ResolutionError: If even level 0 is coarser than the target.
    """
    fitting = [i for i, d in enumerate(level_downsamples) if mpp * d <= target_mpp * (1 + TOLERANCE)]
    if not fitting:
        raise ResolutionError(
            f"the slide's finest level has {mpp:g} um per pixel, coarser than the requested {target_mpp:g}",
            remedy=f"wsi-embed does not upsample: use `mpp={mpp:.3g}` or more, or leave the slide out",
        )
    level = max(fitting, key=lambda i: level_downsamples[i])
    level_mpp = mpp * level_downsamples[level]
    n = max(1, round(tile_px * target_mpp / level_mpp))
    if n <= tile_px * (1 + TOLERANCE):
        n = tile_px  # a level up to 1 % coarser than the target counts as the target: never enlarge
    return ReadPlan(level, n, tile_px, level_mpp * n / tile_px)


def with_dct_scale(
    plan: ReadPlan,
    scales: Sequence[int],
    scale: tuple[float, float],
    level_size: tuple[int, int],
    bounds: tuple[int, int, int, int],
    overlap: int = 0,
) -> ReadPlan:
    """Let the JPEG decoder do part of the resampling, where the lattice allows it.

    The scale must divide the size and the corners of all tiles, and no tile may have to be enlarged.

    Args:
        plan: Read level and size.
        scales: Denominators that the reader supports on that level (8 for 1/8), largest first.
        scale: Level-0 pixels per pixel of the read level, (x, y).
        level_size: (width, height) of the read level.
        bounds: (x, y, width, height) of the scanned area, level-0 pixels.
        overlap: Overlap of neighbouring tiles, target pixels.
    """
    left, top, _, _ = scanned_area(bounds, scale, level_size)
    common = math.gcd(plan.read_px, _stride(plan, overlap), left, top)
    fitting = [s for s in scales if common % s == 0 and plan.read_px // s >= plan.tile_px]
    return replace(plan, dct_scale=fitting[0]) if fitting else plan


@dataclass(frozen=True)
class TileGrid:
    """Tiles of one slide in row-major order of the lattice.

    Attributes:
        plan: Read level and size.
        stride: Lattice step, pixels of the read level.
        scale: Level-0 pixels per pixel of the read level, (x, y).
        grid: (row, col) of each tile, int32 [N, 2].
        level_xy: Top-left corner, whole pixels of the read level, int32 [N, 2].
        tissue_fraction: Share of each tile that is tissue, float32 [N].
    """

    plan: ReadPlan
    stride: int
    scale: tuple[float, float]
    grid: Int32Array
    level_xy: Int32Array
    tissue_fraction: Float32Array

    def __len__(self) -> int:
        return len(self.grid)

    @property
    def level(self) -> int:
        """Index of the read level."""
        return self.plan.level

    @property
    def read_px(self) -> int:
        """Side of a tile, pixels of the read level."""
        return self.plan.read_px

    @property
    def tile_px(self) -> int:
        """Side of a tile as the encoder receives it, pixels."""
        return self.plan.tile_px

    @property
    def downsample(self) -> float:
        """Level-0 pixels per pixel of the read level, mean of both axes."""
        return sum(self.scale) / 2

    @property
    def extent(self) -> float:
        """Side of a tile in level-0 pixels, mean of both axes."""
        return self.plan.read_px * self.downsample

    @property
    def coords(self) -> Int32Array:
        """Top-left corner (x, y) in level-0 pixels, int32 [N, 2]."""
        return np.asarray(np.rint(self.level_xy * np.array(self.scale)), np.int32)

    def rows(self, start: int, stop: int) -> TileGrid:
        """Return the tiles from `start` up to, not including, `stop` as a new grid."""
        return self.where(np.s_[start:stop])

    def where(self, index: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> TileGrid:
        """Return a subset of the tiles, in the order of the index."""
        return replace(
            self,
            grid=self.grid[index],
            level_xy=self.level_xy[index],
            tissue_fraction=self.tissue_fraction[index],
        )


def make_grid(
    plan: ReadPlan,
    scale: tuple[float, float],
    level_size: tuple[int, int],
    bounds: tuple[int, int, int, int],
    overlap: int = 0,
    edge: Edge = "drop",
) -> TileGrid:
    """Lay the tile lattice over the scanned area of a slide.

    Args:
        plan: Read level and size.
        scale: Level-0 pixels per pixel of the read level, (x, y).
        level_size: (width, height) of the read level.
        bounds: (x, y, width, height) of the scanned area, level-0 pixels.
        overlap: Overlap of neighbouring tiles, target pixels.
        edge: `drop` leaves out tiles that extend beyond the slide; `pad` keeps them and fills them with
            white.

    Returns:
        The grid, with a tissue fraction of 1 for every tile.

    Raises:
        UsageError: If the overlap is not smaller than a tile.
    """
    if not 0 <= overlap < plan.tile_px:
        raise UsageError(
            f"{argument('overlap', overlap)} must be at least 0 and below the tile's {plan.tile_px} px"
        )
    n = plan.read_px
    stride = _stride(plan, overlap)
    left, top, right, bottom = scanned_area(bounds, scale, level_size)
    xs, ys = _starts(left, right, n, stride, edge), _starts(top, bottom, n, stride, edge)
    rows, cols = np.meshgrid(np.arange(len(ys)), np.arange(len(xs)), indexing="ij")
    grid = np.stack([rows.ravel(), cols.ravel()], axis=1).astype(np.int32)
    level_xy = np.stack([xs[grid[:, 1]], ys[grid[:, 0]]], axis=1).astype(np.int32)
    ones = np.ones(len(grid), np.float32)
    return TileGrid(plan, stride, scale, grid, level_xy, ones)


def _stride(plan: ReadPlan, overlap: int) -> int:
    """Return the lattice step in pixels of the read level."""
    return max(1, plan.read_px - round(overlap * plan.read_px / plan.tile_px))


def scanned_area(
    bounds: tuple[int, int, int, int], scale: tuple[float, float], level_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the scanned area (left, top, right, bottom) in whole pixels of a level; see `make_grid`."""
    low = [max(0, round(origin / factor)) for origin, factor in zip(bounds[:2], scale, strict=True)]
    ends = [(bounds[0] + bounds[2]) / scale[0], (bounds[1] + bounds[3]) / scale[1]]
    high = [min(limit, round(end)) for end, limit in zip(ends, level_size, strict=True)]
    return low[0], low[1], high[0], high[1]


def _starts(low: int, high: int, n: int, stride: int, edge: Edge) -> Int32Array:
    """Return the first pixel of each tile along one axis of the area [low, high)."""
    spare = high - low - n
    if edge == "pad":
        count = math.ceil(max(spare, 0) / stride) + 1 if high > low else 0
    else:
        count = spare // stride + 1 if spare >= 0 else 0
    return (low + stride * np.arange(count)).astype(np.int32)
