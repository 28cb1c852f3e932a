"""Tile images: detection of the files, and reading of their pixels."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import openslide
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from wsi_embed.errors import TileError as TileError
from wsi_embed.slide import UInt8Array
from wsi_embed.slide.colour.transparency import HIDDEN, hides_picture, over_white

PLAIN_SUFFIXES = frozenset({".bmp", ".webp"})
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
LONGEST_SIDE = 4096
# A PNG or JPEG with content and sides beyond LONGEST_SIDE is not smaller than this.
SMALLEST_SLIDE = 256 * 1024
SUB_IFDS = 330
# Exceptions of Pillow for damaged files, besides its own UnidentifiedImageError (an OSError).
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error)


def is_tile_image(path: Path) -> bool:
    """Return whether a file is a tile image, and not a slide.

    The suffix decides where possible: `.bmp` and `.webp` are tile images, suffixes used only for slides
    (`.svs`, `.ndpi`, ...) are slides. PNG, JPEG and TIFF files are inspected: a tile image has sides of at
    most 4096 pixels, and a TIFF with levels (further pages or SubIFDs), or a BigTIFF, is a slide at any size.
    A file that cannot be parsed is a slide if OpenSlide knows its format, and otherwise a tile image, which
    fails when it is read.
    """
    suffix = path.suffix.lower()
    if suffix not in TIFF_SUFFIXES | PICTURE_SUFFIXES:
        return suffix in PLAIN_SUFFIXES
    try:
        if suffix in TIFF_SUFFIXES:
            return _is_flat(path)
        # the file size decides for most: opening a million files takes minutes
        return path.stat().st_size < SMALLEST_SLIDE or _is_small(path)
    except DAMAGED:
        return openslide.OpenSlide.detect_format(path) is None


def _is_small(path: Path) -> bool:
    kind = PngImageFile if path.suffix.lower() == ".png" else JpegImageFile
    with kind(path) as image:  # Image.open would warn about large ones
        return max(image.size) <= LONGEST_SIDE


def _is_flat(path: Path) -> bool:
    with path.open("rb") as data:
        if data.read(4) in (b"II\x2b\x00", b"MM\x00\x2b"):
            return False
    with TiffImageFile(path) as image:
        return max(image.size) <= LONGEST_SIDE and SUB_IFDS not in image.tag_v2 and image.n_frames == 1


def image_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) from the file's header; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except (*DAMAGED, Image.DecompressionBombError):
        return None


def common_size(sizes: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Return the most common (width, height), the smaller one in case of a tie; None if there is none."""
    counts = Counter(size for size in sizes if size is not None)
    return min(counts, key=lambda size: (-counts[size], size)) if counts else None


def image_digest(path: Path) -> str:
    """Return the first 12 digits of a file's SHA-256, which identify a tile independently of its path.

    Raises:
        TileError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise TileError(f"cannot be read ({error.strerror})", where=path) from error


def read_image(path: Path) -> UInt8Array:
    """Read a tile image as RGB, uint8 [h, w, 3]; transparent pixels are white.

    Raises:
        TileError: If the file is missing, damaged, truncated, entirely transparent although it has colours,
            or has more than 8 bits per channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise TileError("more than 8 bits a channel", where=path, remedy="convert it to 8-bit RGB")
            if hides_picture(image):
                raise TileError(HIDDEN, where=path, remedy="if the colours are right, save it without alpha")
            return np.asarray(over_white(image))
    except (*DAMAGED, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise TileError(
            f"not a readable image ({reason})", where=path, remedy="remove it or copy it again"
        ) from error


def fit_image(pixels: UInt8Array, side: int, tile_px: int, path: Path) -> UInt8Array:
    """Return the central square of an image, resampled to a given side.

    Larger squares are resampled by area. A square between `tile_px` and `side` is enlarged by cubic
    interpolation.

    Args:
        pixels: Pixels, uint8 [h, w, 3].
        side: Side of the result, pixels.
        tile_px: Smallest side to accept, pixels.
        path: Image file, for the message.

    Returns:
        Pixels, uint8 [side, side, 3].

    Raises:
        TileError: If the image is smaller than `tile_px`.
    """
    height, width = pixels.shape[:2]
    square = min(height, width)
    if square < tile_px:
        raise TileError(f"{width} x {height} pixels, smaller than the crop of {tile_px}", where=path)
    y, x = (height - square) // 2, (width - square) // 2
    pixels = pixels[y : y + square, x : x + square]
    if square == side:
        return pixels
    method = cv2.INTER_AREA if square > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=method), np.uint8)
