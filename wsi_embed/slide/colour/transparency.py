"""Detection of pictures that would be read as white because of an alpha of 0, written by mistake."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from wsi_embed.errors import SlideError
from wsi_embed.slide.remedies import vips
from wsi_embed.slide.tiff.pixels import ALPHAS
from wsi_embed.slide.tiff.storage import RGB, Storage

if TYPE_CHECKING:
    from wsi_embed.slide.openslide.slide import OpenSlideSlide

HIDING = 1  # of 255: a mask of 0 and 1 also hides the picture
PLACES, SIDE = 16, 256  # places per side of the slide, and side of a place in pixels
BAND = 512  # rows of an image that are blended at once
HIDDEN = "its alpha is 0 everywhere, so that nothing of its picture can be seen"
REMEDY = f"if the colours are right, drop the alpha with {vips('extract_band', '0 --n 3')}"


def transparency_fault(slide: OpenSlideSlide, stored: Storage) -> SlideError | None:
    """Check whether level 0 of a TIFF is transparent at up to 256 places, starting in the middle.

    Args:
        slide: The slide as OpenSlide opened it.
        stored: Storage of the pixels of level 0.

    Returns:
        The error, without the name of the file; None if anything is visible.
    """
    if stored.photometric != RGB or stored.samples < 4 or stored.extra not in ALPHAS:
        return None
    width, height = slide.level_sizes[0]
    w, h = min(SIDE, width), min(SIDE, height)
    across, down = (min(PLACES, math.ceil(side / SIDE)) for side in (width, height))
    corners = [
        (x, y)
        for x in np.linspace(0, width - w, across).astype(int).tolist()
        for y in np.linspace(0, height - h, down).astype(int).tolist()
    ]
    corners.sort(key=lambda corner: math.hypot(corner[0] - (width - w) / 2, corner[1] - (height - h) / 2))
    try:
        hidden = all(slide.highest_alpha(x, y, w, h) <= HIDING for x, y in corners)
    except SlideError:  # damaged: reported when it is read
        return None
    return SlideError(HIDDEN, remedy=REMEDY) if hidden else None


def over_white(image: Image.Image) -> Image.Image:
    """Return an image as RGB, blended over white. Large images are blended in bands, to save memory."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, BAND):
        band = image.crop((0, top, image.width, min(top + BAND, image.height)))
        band.info = image.info  # the transparent colour
        if image.has_transparency_data:
            rgba = band.convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        whole.paste(band.convert("RGB"), (0, top))
    return whole


def hides_picture(image: Image.Image) -> bool:
    """Return whether an image has more than one colour, but is transparent everywhere."""
    if not image.has_transparency_data:
        return False
    first, colours = None, False
    for top in range(0, image.height, BAND):
        band = image.crop((0, top, image.width, min(top + BAND, image.height)))
        band.info = image.info  # the transparent colour
        rgba = np.asarray(band.convert("RGBA")).reshape(-1, 4)
        if rgba[:, 3].max() > HIDING:
            return False
        first = rgba[0, :3] if first is None else first
        colours = colours or bool((rgba[:, :3] != first).any())
    return colours
