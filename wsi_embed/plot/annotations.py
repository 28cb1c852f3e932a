"""Contours of annotations, drawn over views."""

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
# Fractional bits of the fixed-point positions passed to OpenCV, for lines at subpixel positions.
FRACTION_BITS = 4
FAR = 2.0**20


def draw_contours(
    pixels: UInt8Array, view: View, polygons: Sequence[Polygon], colours: ClassColours, line: int
) -> None:
    """Draw polygons into a view, as lines in the colour of their class with a white halo.

    Holes are drawn like outer rings. The halo makes a line visible on any colour. All halos are drawn first,
    so that they do not cover other lines.

    Args:
        pixels: RGB, uint8 [h, w, 3]; drawn into.
        view: View that maps level-0 positions to pixels.
        polygons: Polygons in level-0 pixels.
        colours: Colour of each class.
        line: Width of the lines, pixels.
    """
    rings = [(_fixed(view.to_view(ring)), polygon.label) for polygon in polygons for ring in polygon.rings]
    options = {"lineType": cv2.LINE_AA, "shift": FRACTION_BITS}
    for points, _ in rings:
        cv2.polylines(pixels, [points], True, HALO, 2 * line + 1, **options)
    for points, label in rings:
        cv2.polylines(pixels, [points], True, colours[label], line, **options)


def _fixed(points: FloatArray) -> npt.NDArray[np.int32]:
    # pixel centres have half-integer positions in views, integer ones in OpenCV
    return np.asarray(np.rint((points - 0.5).clip(-FAR, FAR) * 2**FRACTION_BITS), np.int32)
