"""Whether compressed pixels are RGB or YCbCr: the word of the file against its codestream.

The word RGB decides wherever no mark speaks against it: many an Aperio slide holds RGB in a JPEG without any
mark. Else the pixels themselves decide, unless word and mark agree: either may be wrong.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from wsi_embed.slide.base import UInt8Array
from wsi_embed.slide.tiff.jpeg import APP0, APP14, BASELINE, RGB, YCBCR, JpegDecoder, segments

NAMES = {RGB: "RGB", YCBCR: "YCbCr"}
ADOBE_YCBCR = 1  # the transform of an Adobe segment
COD, SOT = 0x52, 0x90  # markers of JPEG 2000: coding style, first part of a tile
# YCbCr of real pixels is hardly ever beyond RGB, but for the noise of the compression; of RGB taken for
# YCbCr white is, and black, and most colours of a stained slide.
NOISE = 24
MOST_BEYOND = 0.05
# Of RGB, the other components vary at least this part as much as the first, and so far in step with it.
ALIKE_SPREAD, ALIKE_COURSE = 0.5, 0.6
MOST_PIXELS = 1 << 24  # of a JPEG 2000 that is decoded to look at it


def jpeg_colours(data: bytes, tables: bytes, said: int, width: int, height: int) -> int:
    """Tell what the pixels of a JPEG are, RGB or YCBCR.

    Args:
        data: The JPEG.
        tables: Tables that it shares with others; may be empty.
        said: RGB or YCBCR, the word of the file.
        width: Of the image, pixels.
        height: Of the image, pixels.

    Raises:
        ValueError: Its head is broken.
    """
    marked = marked_colours(data)
    if marked == said or (marked is None and said == RGB):
        return said
    pixels = np.empty((height, width, 3), np.uint8)
    try:
        JpegDecoder(tables, RGB, width, height).decode(data, pixels)
    except ValueError:
        return said if marked is None else marked
    return held_colours(pixels)


def marked_colours(data: bytes) -> int | None:
    """What the marks of a JPEG say, RGB or YCBCR; None without any, or where they contradict each other.

    Raises:
        ValueError: Its head is broken.
    """
    marks = set()
    for marker, at, end in segments(data):
        body = data[at + 4 : end]
        if marker == APP0 and body.startswith(b"JFIF\0"):
            marks.add(YCBCR)
        elif marker == APP14 and body.startswith(b"Adobe") and len(body) > 11:
            marks.add(YCBCR if body[11] == ADOBE_YCBCR else RGB)
        elif marker in BASELINE:
            names, samplings = body[6:15:3], body[7:15:3]
            if names in (b"RGB", b"rgb"):
                marks.add(RGB)
            if samplings[:1] != samplings[1:2]:  # nobody halves green and blue
                marks.add(YCBCR)
    return marks.pop() if len(marks) == 1 else None


def transforms_colours(data: bytes) -> bool | None:
    """Whether a JPEG 2000 codestream has a colour transform, which decoders undo; None if it is none."""
    at = data.find(b"\xff\x4f\xff\x51") + 2  # within a JP2 file it does not begin at once
    while 2 <= at < len(data) - 9 and data[at] == 0xFF and data[at + 1] != SOT:
        if data[at + 1] == COD:
            return bool(data[at + 8])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def jpeg2000_colours(data: bytes) -> int | None:
    """Tell what the decoded pixels of a JPEG 2000 are, RGB or YCBCR; None if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG2000",)) as image:
            if image.mode != "RGB" or image.width * image.height > MOST_PIXELS:
                return None
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return held_colours(pixels)


def held_colours(components: UInt8Array) -> int:
    """Tell what three components are, RGB or YCBCR.

    They are RGB if many of them would be no colours as YCbCr, or if all three vary together and as much as
    the first: red, green and blue of tissue do, while chroma varies little, and against the luma.

    Args:
        components: As they are stored, uint8 [h, w, 3].
    """
    luma, blue, red = (components[..., i].astype(np.float32) for i in range(3))
    blue, red = blue - 128, red - 128
    rgb = np.stack([luma + 1.402 * red, luma - 0.344 * blue - 0.714 * red, luma + 1.772 * blue])
    beyond = (rgb.min(0) < -NOISE) | (rgb.max(0) > 255 + NOISE)
    return RGB if beyond.mean() > MOST_BEYOND or _vary_together(components) else YCBCR


def _vary_together(components: UInt8Array) -> bool:
    flat = components[::2, ::2].reshape(-1, 3).astype(np.float32)
    spread = flat.std(0)
    if spread.min() < NOISE or spread[1:].min() < ALIKE_SPREAD * spread[0]:
        return False
    return bool(np.asarray(np.corrcoef(flat.T))[0, 1:].min() > ALIKE_COURSE)
