"""Tile images: which files they are, and their pixels."""

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
from wsi_embed.slide.transparency import HIDDEN, hides_picture, over_white

PLAIN_SUFFIXES = frozenset({".bmp", ".webp"})
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
LONGEST_SIDE = 4096
# A PNG or JPEG with anything on it and sides beyond LONGEST_SIDE is no smaller than this.
SMALLEST_SLIDE = 256 * 1024
SUB_IFDS = 330
# What Pillow raises at a file that is damaged, besides its own UnidentifiedImageError (an OSError).
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error)


def is_tile_image(path: Path) -> bool:
    """Whether a file is a tile image, and not a slide.

    By the suffix where that decides: `.bmp` and `.webp` are tile images, those that only slides have
    (`.svs`, `.ndpi`, ...) are slides. PNG, JPEG and TIFF files are looked at: a tile image has sides of
    4096 pixels at most, and a TIFF is a slide at any size where it has levels (further pages or SubIFDs)
    or is a BigTIFF. A file that cannot be understood is a slide where OpenSlide knows its format, and
    else a tile image, which fails when it is read.
    """
    suffix = path.suffix.lower()
    if suffix not in TIFF_SUFFIXES | PICTURE_SUFFIXES:
        return suffix in PLAIN_SUFFIXES
    try:
        if suffix in TIFF_SUFFIXES:
            return _is_flat(path)
        # most are decided by a look at the folder: opening a million files takes minutes
        return path.stat().st_size < SMALLEST_SLIDE or _is_small(path)
    except DAMAGED:
        return openslide.OpenSlide.detect_format(path) is None


def _is_small(path: Path) -> bool:
    kind = PngImageFile if path.suffix.lower() == ".png" else JpegImageFile
    with kind(path) as image:  # Image.open would warn of large ones
        return max(image.size) <= LONGEST_SIDE


def _is_flat(path: Path) -> bool:
    with path.open("rb") as data:
        if data.read(4) in (b"II\x2b\x00", b"MM\x00\x2b"):
            return False
    with TiffImageFile(path) as image:
        return max(image.size) <= LONGEST_SIDE and SUB_IFDS not in image.tag_v2 and image.n_frames == 1


def image_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as the file's head says; None where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except (*DAMAGED, Image.DecompressionBombError):
        return None


def common_size(sizes: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    """The most common (width, height), the smaller one of two as common; None without any."""
    counts = Counter(size for size in sizes if size is not None)
    return min(counts, key=lambda size: (-counts[size], size)) if counts else None


def image_digest(path: Path) -> str:
    """The first 12 digits of a file's sha256: knows a tile again wherever it lies.

    Raises:
        TileError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise TileError(f"cannot be read ({error.strerror})", where=path) from error


def read_image(path: Path) -> UInt8Array:
    """Read a tile image as RGB, uint8 [h, w, 3]; what is transparent is white.

    Raises:
        TileError: The file is missing, damaged, truncated, wholly transparent although it has colours, or
            has more than 8 bits a channel.
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
    """The central square of an image, brought to a side.

    Larger ones are resampled by area. One between `tile_px` and `side` is enlarged, by cubic interpolation.

    Args:
        pixels: uint8 [h, w, 3].
        side: Of the result.
        tile_px: Least side of what is taken.
        path: Of the image, for the message.

    Returns:
        uint8 [side, side, 3].

    Raises:
        TileError: The image is smaller than `tile_px`.
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
