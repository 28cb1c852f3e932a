"""What the image files of a job have in common, and how pixels become one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array

ImageFormat = Literal["png", "jpeg"]
FORMAT_VERSION = 1
MOST_TILE_PX = 16_384

# Of all levels and strategies the smallest files but for 1 %, and faster than all that are as small
# (benchmarks/RESULTS.md).
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
_444 = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


@dataclass(frozen=True)
class TileSettings:
    """Which tiles are asked for, and as what they are kept.

    Attributes:
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
        format: `png` keeps every pixel; `jpeg` is smaller.
        quality: Of a JPEG, 1 to 100; None for PNG.
        max_tiles: Most tiles of a slide, a random sample; None takes all.
        seed: Of the sample; None without one.
    """

    tile_px: int = 224
    mpp: float = 0.5
    format: ImageFormat = "png"
    quality: int | None = None
    max_tiles: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.format not in get_args(ImageFormat):
            raise UsageError(f"--format {self.format}: choose {' or '.join(get_args(ImageFormat))}")
        if not 1 <= self.tile_px <= MOST_TILE_PX:
            raise UsageError(f"--tile-px {self.tile_px}: 1 to {MOST_TILE_PX} is expected")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: 1 to 100 is expected")

    @property
    def suffix(self) -> str:
        """What the files end in."""
        return ".png" if self.format == "png" else ".jpg"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def decisive(self) -> dict[str, Any]:
        """Plain values that decide a slide's files: all of them."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    def encode(self, tile: UInt8Array) -> UInt8Array:
        """The bytes of a tile's file, from RGB, uint8 [tile_px, tile_px, 3]. JPEG is 4:4:4."""
        options = _PNG if self.quality is None else (cv2.IMWRITE_JPEG_QUALITY, self.quality, *_444)
        encoded = cv2.imencode(self.suffix, cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), options)[1]
        return np.asarray(encoded, np.uint8)
