"""Plain PNG and JPEG images as single-level slides, read by Pillow."""

from __future__ import annotations

import re
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array, unreadable
from wsi_embed.slide.colour.transparency import HIDDEN, hides_picture, over_white
from wsi_embed.slide.content import content_of
from wsi_embed.slide.exif import PNG, SIDEWAYS, TURNS, exif_turn
from wsi_embed.slide.fingerprint import fingerprint

JPEG = b"\xff\xd8\xff"
PNG_BITS = 24  # offset of the bits per sample in a PNG
EIGHT_BITS = SlideError("more than 8 bits a channel", remedy="convert it to 8-bit RGB")


class ImageSlide(Slide):
    """PNG or JPEG image. It is decoded as a whole at the first read; its resolution is never known.

    The image is turned according to its EXIF data, as in viewers.

    Args:
        path: Image file.

    Raises:
        SlideError: If the file is not an image, or its pixels are not RGB or grey with 8 bits.
    """

    reader = "pillow"
    vendor = "image"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._pixels: UInt8Array | None = None
        try:
            with open_image(path) as image:
                _check_kind(path, image)
                self._turn = exif_turn(image, path)
                width, height = image.size
                self.level_sizes = [(height, width) if self._turn in SIDEWAYS else (width, height)]
                self._profile: bytes | None = image.info.get("icc_profile") or None
            self.fingerprint = fingerprint(path)
        except UnidentifiedImageError as error:
            raise _unidentified(path) from error
        except Image.DecompressionBombError as error:
            raise SlideError(
                f"too large for a plain image: more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels",
                where=path,
                remedy="convert it to a pyramidal TIFF",
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
            with open_image(self.path) as image:
                if hides_picture(image):
                    raise SlideError(
                        HIDDEN, where=self.path, remedy="if the colours are right, save it without alpha"
                    )
                rgb = over_white(image)
                return np.asarray(rgb.transpose(TURNS[self._turn]) if self._turn in TURNS else rgb)
        except (OSError, SyntaxError, ValueError) as error:  # raised by Pillow for a broken chunk
            raise unreadable(self.path, error) from error

    def icc_profile(self) -> bytes | None:
        """Return the embedded ICC profile of the pixels, unchanged; None without one."""
        return self._profile

    def close(self) -> None:
        """Release the pixels. May be called several times."""
        self._pixels = None


def open_image(path: Path) -> Image.Image:
    """Open a PNG or JPEG image with Pillow, without its warning of images above 89 million pixels.

    Raises:
        Image.DecompressionBombError: If it has more than 179 million pixels.
        OSError: If it is no image, or cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG"))


def _check_kind(path: Path, image: Image.Image) -> None:
    """Check that Pillow converts the pixels to 8-bit RGB without changing their meaning."""
    with path.open("rb") as data:
        head = data.read(PNG_BITS + 1)
    if image.mode.startswith(("I", "F")) or (head.startswith(PNG) and head[PNG_BITS] > 8):
        raise EIGHT_BITS.at(path)
    if image.mode in ("CMYK", "LAB"):
        raise SlideError(
            f"its pixels are {image.mode}, not RGB",
            where=path,
            remedy="convert it, for example with `vips colourspace IN OUT.png srgb`",
        )


def _unidentified(path: Path) -> SlideError:
    """Return the error for a file that Pillow does not recognise, with the real reason."""
    with path.open("rb") as data:
        head = data.read(len(PNG))
    if head.startswith(PNG):
        return unreadable(path, "its header is broken")
    if head.startswith(JPEG):
        try:
            JpegImagePlugin.JpegImageFile(path).close()
        except (SyntaxError, OSError) as reason:
            many = re.search("[0-9]+-bit", str(reason))
            return EIGHT_BITS.at(path) if many else unreadable(path, reason)
    content = content_of(path)
    if content:
        return SlideError(f"not a PNG or JPEG image: it is {content}", where=path)
    return SlideError("not a PNG or JPEG image", where=path, remedy="is its extension right?")
