"""Plain PNG and JPEG images as one-level slides, through Pillow."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array, unreadable
from wsi_embed.slide.fingerprint import fingerprint


class ImageSlide(Slide):
    """A PNG or JPEG image. Decoded whole, at the first read; its resolution is never known.

    Args:
        path: The image.

    Raises:
        SlideError: The file is not an image.
    """

    reader = "pillow"
    vendor = "image"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._pixels: UInt8Array | None = None
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                self.level_sizes = [image.size]
                if image.mode.startswith(("I", "F")):
                    raise SlideError(f"{path}: more than 8 bits a channel; convert it to 8-bit RGB")
                self._profile: bytes | None = image.info.get("icc_profile") or None
            self.fingerprint = fingerprint(path)
        except UnidentifiedImageError as error:
            raise SlideError(f"{path}: not a PNG or JPEG image; is its extension right?") from error
        except Image.DecompressionBombError as error:
            raise SlideError(
                f"{path}: too large for a plain image ({error}); convert it to a pyramidal TIFF"
            ) from error
        except OSError as error:
            raise unreadable(path, error) from error
        self.level_scales = [(1.0, 1.0)]
        self.bounds = (0, 0, *self.level_sizes[0])

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decode()
            pixels = self._pixels
        return pixels[y : y + h, x : x + w].copy()

    def _decode(self) -> UInt8Array:
        try:
            with Image.open(self.path, formats=("PNG", "JPEG")) as image:
                if image.has_transparency_data:
                    rgba = image.convert("RGBA")
                    white = Image.new("RGBA", rgba.size, "white")
                    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's words for a broken chunk
            raise unreadable(self.path, error) from error

    def icc_profile(self) -> bytes | None:
        """The embedded ICC profile of the pixels, as it lies in the file; None without one."""
        return self._profile

    def close(self) -> None:
        """Release the file. Closing twice is fine."""
        self._pixels = None
