"""Input of an ONNX file of another tool: what it takes, and how tiles become that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.util.text import argument
from wsi_embed_export.foreign_graph import FLOATS
from wsi_embed_export.trained import Given

LAYOUTS = ("nchw", "nhwc")


@dataclass(frozen=True)
class Signature:
    """Input of an ONNX file for images.

    Attributes:
        name: Name of the input.
        kind: Type of its values, as ONNX Runtime names it.
        layout: `nchw` or `nhwc`.
        tile_px: Side of the images, pixels.
        batch: Number of images, if it is fixed.
    """

    name: str
    kind: str
    layout: str
    tile_px: int
    batch: int | None

    def images(self, tiles: UInt8Array, given: Given) -> npt.NDArray[Any]:
        """Return the input of the file for tiles [B, tile_px, tile_px, 3], as its authors compute it."""
        images: npt.NDArray[Any] = tiles
        if self.kind != "tensor(uint8)":
            scaled = (tiles.astype(np.float64) / 255 - np.array(given.mean)) / np.array(given.std)
            images = scaled.astype(FLOATS[self.kind])
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2) if self.layout == "nchw" else images)


def read_signature(source: Path, session: Any, given: Given, layout: str | None) -> Signature:
    """Read the input of a file, and check it against what the user says.

    Raises:
        UsageError: If it is no single input for images, or contradicts the user.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"choose {' or '.join(LAYOUTS)}", where=argument("layout", layout))
    inputs = session.get_inputs()
    listed = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in (*FLOATS, "tensor(uint8)"):
        raise UsageError(f"takes {listed} instead of one batch of images", where=source.name)
    (image,) = inputs
    fixed = [size if isinstance(size, int) and size > 0 else None for size in image.shape]
    fits = [each for each in LAYOUTS if fixed[each.index("c")] in (3, None)]
    fits = [each for each in fits if fixed[each.index("c")] == 3] or fits
    if layout not in (None, *fits) or not fits:
        raise UsageError(f"takes {listed}, no {layout or 'RGB images'}", where=source.name)
    if layout is None and len(fits) > 1:
        raise UsageError(f"takes {listed}", where=source.name, remedy="give `layout='nchw'` or `'nhwc'`")
    layout = layout or fits[0]
    height, width = fixed[layout.index("h")], fixed[layout.index("w")]
    sides = {side for side in (height, width, given.tile_px) if side is not None}
    if len(sides) != 1:
        asked = f", not tiles of {given.tile_px} pixels" if given.tile_px and height == width else ""
        problem = f"takes {listed}{asked}" if sides else f"takes {listed}, images of any size"
        raise UsageError(problem, where=source.name, remedy=None if sides else "give `tile_px=`")
    normalised = given.mean is not None and given.std is not None
    if image.type != "tensor(uint8)" and not normalised:
        raise UsageError(
            "the normalisation of its images is not known",
            where=source.name,
            remedy="give `mean=` and `std=` of its model card",
        )
    if image.type == "tensor(uint8)" and (given.mean or given.std):
        raise UsageError("takes raw pixels, so that `mean=` and `std=` cannot be given", where=source.name)
    return Signature(image.name, image.type, layout, sides.pop(), fixed[0])
