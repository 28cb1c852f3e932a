"""Synthetic slides of any size from pictures of real tissue, for benchmarks without a slide at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from wsi_embed.slide import UInt8Array

# 640 x 640 pixels of H&E at 0.5 um per pixel: OpenSlide's CMU-1-Small-Region (CC0)
_TISSUE = Path(__file__).parent / "tissue.jpg"
GLASS = 243
TILE = 256
QUALITY = 80
YCBCR_SUBSAMPLING = 530


@cache
def tissue_picture() -> UInt8Array:
    """Return a piece of H&E at 0.5 um per pixel, RGB, uint8 [640, 640, 3]; must not be written to."""
    picture = cv2.imread(str(_TISSUE), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise FileNotFoundError(_TISSUE)
    return np.asarray(picture, np.uint8)


def write_sample_slide(
    path: Path,
    side: int,
    *,
    mpp: float = 0.5,
    levels: Sequence[int] = (1, 4, 16),
    pictures: Sequence[UInt8Array] = (),
) -> Path:
    """Write a slide in Aperio's layout: BigTIFF, JPEG tiles of 256 pixels, quality 80, 4:2:0.

    Square cells of tissue, turned at random, fill a disc on glass: about half of the slide. Needs little
    memory, whatever the size.

    Args:
        path: File to write.
        side: Side of level 0, pixels.
        mpp: Stated micrometres per pixel.
        levels: Downsample of each level.
        pictures: RGB pictures of equal size, uint8 [s, s, 3]; by default the one in the package.

    Returns:
        The path.
    """
    import tifffile

    mosaic = Mosaic(side, pictures or [tissue_picture()])
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for downsample in levels:
            size = side // downsample
            about = f"Aperio Image Library\r\n{side}x{side} ({TILE}x{TILE}) JPEG/RGB Q={QUALITY}"
            tif.write(
                _jpeg_tiles(mosaic, size, downsample),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="zlib",  # corrected below, because tifffile cannot write JPEG without imagecodecs
                description=f"{about}|AppMag = {10 / mpp:.0f}|MPP = {mpp:.4f}"
                if downsample == levels[0]
                else about,
                subfiletype=0 if downsample == levels[0] else 1,
                metadata=None,
                software=False,
                extratags=[(YCBCR_SUBSAMPLING, "H", 2, (2, 2), True)],
            )
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            tags = page.aspage().tags
            tags["Compression"].overwrite(tifffile.COMPRESSION.JPEG)
            tags["PhotometricInterpretation"].overwrite(tifffile.PHOTOMETRIC.YCBCR)
    return path


class Mosaic:
    """Cells of tissue in a disc on glass, as pixels of level 0.

    Args:
        side: Side of the whole picture, pixels.
        pictures: Pictures of tissue, of equal size.
    """

    def __init__(self, side: int, pictures: Sequence[UInt8Array]) -> None:
        self._cell = len(pictures[0])
        # turned and mirrored: eight of each
        self._kinds = [
            np.rot90(p[:, ::step], turns) for p in pictures for turns in range(4) for step in (1, -1)
        ]
        count = -(-side // self._cell)
        self._which = np.random.default_rng(0).integers(0, len(self._kinds), (count, count))
        middle, (y, x) = (count - 1) / 2, np.ogrid[:count, :count]
        disc = np.hypot(y - middle, x - middle) <= max(0.8 * count / 2, 0.8)
        self._which[~disc] = -1

    def region(self, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Return the pixels of a region, uint8 [h, w, 3]; glass beyond the edge."""
        out = np.full((h, w, 3), GLASS, np.uint8)
        cell, count = self._cell, len(self._which)
        for row in range(y // cell, min(-(-(y + h) // cell), count)):
            for column in range(x // cell, min(-(-(x + w) // cell), count)):
                kind = self._which[row, column]
                if kind < 0:
                    continue
                top, left = max(y, row * cell), max(x, column * cell)
                bottom, right = min(y + h, (row + 1) * cell), min(x + w, (column + 1) * cell)
                part = self._kinds[kind][
                    top - row * cell : bottom - row * cell, left - column * cell : right - column * cell
                ]
                out[top - y : bottom - y, left - x : right - x] = part
        return out


def _jpeg_tiles(mosaic: Mosaic, size: int, downsample: int) -> Iterator[bytes]:
    """Yield the compressed tiles of a level, row by row."""
    import simplejpeg

    for y in range(0, size, TILE):
        for x in range(0, size, TILE):
            pixels = mosaic.region(*(n * downsample for n in (x, y, TILE, TILE)))
            if downsample != 1:
                pixels = np.asarray(cv2.resize(pixels, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)
            yield simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorsubsampling="420")
