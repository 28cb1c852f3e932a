"""Regions of one slide: polygons in level-0 pixels."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import SlideError, printable
from wsi_embed.regions.raster import rasterise

Ring = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
# Origin of coordinates: corner of level 0, or of the slide's bounds, to which QuPath crops a slide.
Origin = Literal["level0", "bounds"]

SMALLER = "every region is smaller than one tile"
OTHER_UNITS = "are its coordinates in other units than level-0 pixels, such as micrometres?"
# Longest side of the raster on which areas are compared.
AREA_PX = 1024


@dataclass(frozen=True)
class Polygon:
    """Area with its class.

    Attributes:
        rings: Outline, then holes, float64 [P, 2] of (x, y). A point in an odd number of rings is inside.
        label: Class, or name if it has no class.
        colour: RGB colour.
        above: Classes that contain its class, nearest first: parents of ASAP groups, and `Tumor` for QuPath's
            `Tumor: Positive`.
        unread: Properties of an area without a class, (name, text), one of which may be meant as the class.
        unsure: Classes of which one contains its class, if the file does not say which.
    """

    rings: list[Ring]
    label: str | None = None
    colour: Colour | None = None
    above: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    unsure: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class and those that contain it, nearest first; empty without a class."""
        return (self.label, *self.above) if self.label else ()

    def nearest(self, keys: Collection[str]) -> str | None:
        """Return the first of its classes among `keys`, as returned by `class_key`, or None."""
        return next((key for key in map(class_key, self.classes) if key in keys), None)

    def moved(self, x: float, y: float) -> Polygon:
        """Return the polygon translated by (x, y)."""
        return replace(self, rings=[ring + np.array((x, y)) for ring in self.rings])


def too_small(polygons: Sequence[Polygon], tile: tuple[float, float]) -> bool:
    """Return whether there are polygons, and all are smaller than a tile of (width, height)."""
    return bool(polygons) and all((np.ptp(p.rings[0], axis=0) < tile).all() for p in polygons)


def class_key(label: str | None) -> str:
    """Return a class name for comparisons, without regard to case and to spaces around its parts.

    Accented letters may be composed or not: file names of macOS, and texts copied from them, are not.
    """
    composed = unicodedata.normalize("NFC", label or "")
    return ": ".join(part.strip() for part in composed.split(":")).casefold()


@dataclass(frozen=True)
class Areas:
    """Areas of an annotation file.

    Attributes:
        polygons: All areas.
        left_out: Number of left-out objects by kind: those without an area, or unknown.
        warnings: Further warnings, each a sentence without the name of the file.
    """

    polygons: list[Polygon]
    left_out: Counter[str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Regions:
    """Regions of a slide to take and to leave out.

    Attributes:
        include: Polygons whose union is taken; None takes everything.
        exclude: Polygons whose union is left out.
        digest: Digest of the file and the chosen classes, for the settings fingerprint; None without a file.
        name: Name of the annotation file, for messages.
        origin: Origin of the coordinates.
        warnings: Warnings about the file.
    """

    include: list[Polygon] | None
    exclude: list[Polygon]
    digest: str | None
    name: str = "the annotation file"
    origin: Origin = "level0"
    warnings: tuple[str, ...] = ()

    @property
    def polygons(self) -> list[Polygon]:
        """All included and excluded polygons."""
        return [*(self.include or []), *self.exclude]

    def mask(self, shape: tuple[int, int], scale: tuple[float, float]) -> npt.NDArray[np.bool_]:
        """Rasterise: True where a pixel's centre is included and not excluded, bool [h, w].

        Args:
            shape: (h, w) of the mask.
            scale: Level-0 pixels per mask pixel, (x, y).

        Raises:
            SlideError: If no pixel is left, or the outlines zigzag too much.
        """
        inside = np.ones(shape, np.bool_) if self.include is None else self._fill(self.include, shape, scale)
        if self.exclude:
            inside &= ~self._fill(self.exclude, shape, scale)
        if not inside.any():
            raise SlideError(
                "nothing of the slide is left: its regions cover no pixel of the tissue mask "
                f"({scale[0]:.3g} level-0 pixels wide), or all of it is excluded",
                where=self.name,
                remedy=OTHER_UNITS,
            )
        return inside

    def placed(
        self,
        size: tuple[int, int],
        bounds: tuple[int, int, int, int],
        tile: tuple[float, float] = (0.0, 0.0),
    ) -> Regions:
        """Return the regions in level-0 pixels of a slide, checked against its size and that of its tiles.

        Args:
            size: (width, height) of level 0.
            bounds: (x, y, width, height) of the scanned area, level-0 pixels.
            tile: (width, height) of a tile, level-0 pixels.

        Raises:
            SlideError: If all regions are outside the slide, or their outlines zigzag too much.
        """
        x, y = bounds[:2] if self.origin == "bounds" else (0, 0)
        include = None if self.include is None else [p.moved(x, y) for p in self.include]
        warnings = list(self.warnings)
        if (x, y) != (0, 0):
            warnings.append(
                f"{self.name}: read as QuPath counts, from the corner of the scanned area ({x}, {y})"
            )
        moved = replace(self, include=include, exclude=[p.moved(x, y) for p in self.exclude], origin="level0")
        share = moved.outside(size)
        if share == 1:
            raise SlideError(
                f"all its regions lie outside the slide ({size[0]} x {size[1]} pixels)",
                where=self.name,
                remedy=f"is it of another slide? {OTHER_UNITS}",
            )
        if share > 0.1:
            warnings.append(
                f"{self.name}: {100 * share:.0f} % of its regions' area lie outside the slide "
                f"({size[0]} x {size[1]} pixels); is it of this slide?"
            )
        if too_small(include or moved.exclude, tile):
            warnings.append(f"{self.name}: {SMALLER} ({tile[0]:.0f} level-0 pixels); {OTHER_UNITS}")
        return replace(moved, warnings=tuple(map(printable, warnings)))

    def outside(self, size: tuple[int, int]) -> float:
        """Return the share of the polygons' area outside a slide of (width, height), to about 1 %.

        1.0 means that no polygon is near the slide.
        """
        boxes = [np.concatenate([p.rings[0].min(0), p.rings[0].max(0)]) for p in self.polygons]
        if not boxes:
            return 0.0
        box = np.array(boxes)
        if not ((box[:, :2] < size) & (box[:, 2:] > 0)).all(axis=1).any():
            return 1.0
        low, high = box[:, :2].min(0), box[:, 2:].max(0)
        step = max(float((high - low).max()) / AREA_PX, 1e-9)
        w, h = (max(1, int(side)) for side in np.ceil((high - low) / step))
        filled = self._fill(self.polygons, (h, w), (step, step), (low[0], low[1]))
        x, y = low[0] + (np.arange(w) + 0.5) * step, low[1] + (np.arange(h) + 0.5) * step
        inside = ((y >= 0) & (y < size[1]))[:, None] & ((x >= 0) & (x < size[0]))
        return min(float(1 - filled[inside].sum() / max(1, filled.sum())), 0.999) if filled.any() else 0.0

    def _fill(
        self,
        polygons: Iterable[Polygon],
        shape: tuple[int, int],
        scale: tuple[float, float],
        corner: tuple[float, float] = (0.0, 0.0),
    ) -> npt.NDArray[np.bool_]:
        """Rasterise polygons of the file; see `rasterise`."""
        try:
            return rasterise([polygon.rings for polygon in polygons], shape, scale, corner)
        except SlideError as error:
            raise error.at(self.name) from error
