"""Settings shared by all image files of a job, and the encoding of pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from wsi_embed.errors import UsageError
from wsi_embed.slide import UInt8Array
from wsi_embed.util.text import argument

ImageFormat = Literal["png", "jpeg"]
FORMAT_VERSION = 1
MOST_TILE_PX = 16_384

# The fastest of the levels and strategies whose files are within 1 % of the smallest
# (benchmarks/RESULTS.md).
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
_444 = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


@dataclass(frozen=True)
class TileSettings:
    """Requested tiles and their image format.

    Attributes:
        tile_px: Side of a tile, pixels.
        mpp: Micrometres per pixel of a tile.
        format: `png`, which is lossless, or `jpeg`, which is smaller.
        quality: Quality of a JPEG, 1 to 100; None for PNG.
        max_tiles: Size of the random sample of tiles per slide; None takes all.
        seed: Seed of the sample; None without one.
    """

    tile_px: int = 224
    mpp: float = 0.5
    format: ImageFormat = "png"
    quality: int | None = None
    max_tiles: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.format not in get_args(ImageFormat):
            raise UsageError(
                f"choose {' or '.join(get_args(ImageFormat))}", where=argument("format", self.format)
            )
        if not 1 <= self.tile_px <= MOST_TILE_PX:
            raise UsageError(f"1 to {MOST_TILE_PX} is expected", where=argument("tile_px", self.tile_px))
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError("1 to 100 is expected", where=argument("quality", self.quality))

    @property
    def suffix(self) -> str:
        """Suffix of the files."""
        return ".png" if self.format == "png" else ".jpg"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)

    def decisive(self) -> dict[str, Any]:
        """Return the settings that determine a slide's files: all of them."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    def encode(self, tile: UInt8Array) -> UInt8Array:
        """Return the bytes of a tile's file, from RGB, uint8 [tile_px, tile_px, 3]. JPEG is 4:4:4."""
        options = _PNG if self.quality is None else (cv2.IMWRITE_JPEG_QUALITY, self.quality, *_444)
        encoded = cv2.imencode(self.suffix, cv2.cvtColor(tile, cv2.COLOR_RGB2BGR), options)[1]
        return np.asarray(encoded, np.uint8)
