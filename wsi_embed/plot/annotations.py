"""Annotators' contours, drawn over views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from wsi_embed.plot.colours import HALO, Colour
from wsi_embed.plot.views import FloatArray, View
from wsi_embed.regions import Polygon
from wsi_embed.slide import UInt8Array

ClassColours = Mapping[str | None, Colour]
# OpenCV takes fixed-point positions, so that lines do not jump from pixel to pixel.
FRACTION_BITS = 4
FAR = 2.0**20


def draw_contours(
    pixels: UInt8Array, view: View, polygons: Sequence[Polygon], colours: ClassColours, line: int
) -> None:
    """Draw polygons into a picture of the view: lines in their class's colour in a white halo.

    Holes are drawn like outer rings. The halo makes a line visible on any colour; all halos come
    first, so that none covers another line.

    Args:
        pixels: RGB, uint8 [h, w, 3]; changed.
        view: Says where level-0 positions lie.
        polygons: Rings in level-0 pixels.
        colours: By class.
        line: Width in pixels.
    """
    rings = [(_fixed(view.to_view(ring)), polygon.label) for polygon in polygons for ring in polygon.rings]
    options = {"lineType": cv2.LINE_AA, "shift": FRACTION_BITS}
    for points, _ in rings:
        cv2.polylines(pixels, [points], True, HALO, 2 * line + 1, **options)
    for points, label in rings:
        cv2.polylines(pixels, [points], True, colours[label], line, **options)


def _fixed(points: FloatArray) -> npt.NDArray[np.int32]:
    # pixel centres lie at halves in views, at whole numbers in OpenCV
    return np.asarray(np.rint((points - 0.5).clip(-FAR, FAR) * 2**FRACTION_BITS), np.int32)
