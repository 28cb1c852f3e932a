"""Pixels: whole-slide images behind one small interface."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.resolution import Resolution, resolve_mpp
from wsi_embed.slide.suffixes import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, SLIDE_SUFFIXES

__all__ = [
    "FOREIGN_SUFFIXES",
    "IMAGE_SUFFIXES",
    "SLIDE_SUFFIXES",
    "Resolution",
    "Slide",
    "UInt8Array",
    "open_slide",
    "resolve_mpp",
]


def open_slide(path: str | Path) -> Slide:
    """Open a slide with the reader that fits it.

    Args:
        path: A file OpenSlide knows (SVS, TIFF, NDPI, MRXS, DICOM, ...), or a PNG or JPEG image.

    Returns:
        An open slide; use it as a context manager, from as many threads as you like.

    Raises:
        SlideError: The file is missing, empty, or not a slide.
    """
    from wsi_embed.slide.image import ImageSlide
    from wsi_embed.slide.openslide import OpenSlideSlide

    path = Path(path)
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # a folder that cannot be listed says so
            raise SlideError(f"{path}: is a folder, not a slide; check the path")
        if not path.is_file():
            raise SlideError(f"{path}: no such file; check the path")
        if path.stat().st_size == 0:
            raise SlideError(f"{path}: the file is empty (0 bytes); copy it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SlideError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSlide(path)
    return OpenSlideSlide(path)
