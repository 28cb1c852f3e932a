"""Conversion of slides to sRGB with the scanner's ICC profile."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.stream import TileStream, resample
from wsi_embed.slide.wrapped import WrappedSlide

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid

# Preserves measured colours and maps the scanner's white to white. The perceptual intent would let each
# vendor reinterpret colours, which is the difference that the conversion is meant to remove.
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
INTENT_NAME = "relative colorimetric"


class SrgbSlide(WrappedSlide[Slide]):
    """Slide whose pixels are converted to sRGB as they are read.

    Levels, resolution, bounds and fingerprint are those of the wrapped slide. Pixels are converted before
    resampling, before tissue detection, and before white is added beyond the edges. White (255, 255, 255)
    stays white: it is glass, or was transparent.

    Args:
        slide: Open slide with a profile; closed together with this one.
        profile: ICC profile of the slide.

    Raises:
        SlideError: If the profile is broken, or not for RGB pixels.
    """

    def __init__(self, slide: Slide, profile: bytes) -> None:
        super().__init__(slide)
        self._transform = _transform(slide, profile)
        white = self._convert(np.full((1, 1, 3), 255, np.uint8))
        self._white_moves = bool((white != 255).any())

    def icc_profile(self) -> bytes | None:
        """Return None: the pixels are already sRGB."""
        return None

    def usable_levels(self) -> list[int]:
        """Return the levels of the wrapped slide that show what its level 0 shows; see `Slide`."""
        levels = self._slide.usable_levels()
        self.other_levels, self.levels_state = self._slide.other_levels, self._slide.levels_state
        self.left_out, self.warnings = self._slide.left_out, self._slide.warnings
        return levels

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        return self.converted(self._slide.read(level, x, y, w, h))

    def _stream(self, grid: TileGrid) -> TileStream:
        return _SrgbStream(self, self._slide, grid)

    def converted(self, pixels: UInt8Array) -> UInt8Array:
        """Convert pixels of the wrapped slide to sRGB, uint8 [h, w, 3]."""
        converted = self._convert(pixels)
        if self._white_moves:
            converted[(pixels == 255).all(-1)] = 255
        return converted

    def _convert(self, pixels: UInt8Array) -> UInt8Array:
        image = ImageCms.applyTransform(Image.fromarray(pixels), self._transform)
        return np.array(image, np.uint8)


class _SrgbStream(TileStream):
    """Tile reader that converts the wrapped slide's tiles, then resamples them."""

    def __init__(self, slide: SrgbSlide, within: Slide, grid: TileGrid) -> None:
        super().__init__(slide, grid)
        self._convert = slide.converted
        self._size = grid.plan.decoded_px
        self._within = within.stream(replace(grid, plan=replace(grid.plan, tile_px=self._size)))

    def read(self, row: int, out: UInt8Array) -> None:
        """Read one tile; see `TileStream`."""
        pixels = np.empty((self._size, self._size, 3), np.uint8)
        self._within.read(row, pixels)
        resample(self._convert(pixels), out)

    def close(self) -> None:
        """Release cached data; the slide stays open."""
        self._within.close()


def to_srgb(slide: Slide) -> tuple[Slide, dict[str, Any]]:
    """Wrap a slide so that it is read as sRGB, if it has a profile.

    Returns:
        The slide to read, and a record with `to`, `intent` and `profile` (the first 32 hexadecimal digits of
        the profile's SHA-256). If the slide has no profile, it is returned unchanged and `profile` is None.
        No text of the profile itself is recorded.

    Raises:
        SlideError: If the profile is broken, or not for RGB pixels.
    """
    profile = slide.icc_profile()
    record = {"to": "sRGB", "intent": INTENT_NAME, "profile": profile_digest(profile)}
    return (slide if profile is None else SrgbSlide(slide, profile)), record


def profile_digest(profile: bytes | None) -> str | None:
    """Return 32 hexadecimal digits that identify a profile; None without one."""
    return None if profile is None else hashlib.sha256(profile).hexdigest()[:32]


def _transform(slide: Slide, profile: bytes) -> ImageCms.ImageCmsTransform:
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = embedded.profile.xcolor_space.strip()
        if space != "RGB":
            raise SlideError(
                f"its ICC profile is of {space} pixels, not RGB",
                where=slide.path.name,
                remedy="leave out `icc=True`",
            )
        # without the cache of the last pixel, a transform is stateless and can be shared by threads
        flags = ImageCms.Flags.NOCACHE
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(embedded, srgb, "RGB", "RGB", renderingIntent=INTENT, flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise SlideError(
            f"its ICC profile ({len(profile)} bytes) is broken",
            where=slide.path.name,
            remedy="leave out `icc=True` to read its pixels as they are",
        ) from error
