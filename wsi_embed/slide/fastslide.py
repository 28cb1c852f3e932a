"""Slides read by fastslide (https://github.com/NKI-AI/fastslide), of formats that nothing else here reads.

It is used only if it is asked for by name: it reads tiles that cannot be decoded as white, without an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array, unreadable
from wsi_embed.slide.content import content_of
from wsi_embed.slide.czi import czi_fault
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.slide.remedies import OTHER_READER, without_folder
from wsi_embed.slide.stated import Stated
from wsi_embed.slide.suffixes import companion_folder
from wsi_embed.util.extras import needs_extra

EXTRA = "formats"
# Suffixes and the vendors that they are of.
VENDORS = {".czi": "zeiss", ".isyntax": "philips", ".i2syntax": "philips", ".vsi": "olympus"}
CACHE_BYTES = 32 * 1024 * 1024


class FastSlideSlide(Slide):
    """Slide read by fastslide: CZI (with JPEG XR too), Philips iSyntax, Olympus VSI.

    Args:
        path: Slide file.

    Raises:
        SlideError: If it is of another format, is damaged, or its pixels are not RGB of 8 bits.
        MissingExtraError: If fastslide is not installed.
    """

    reader = "fastslide"
    reader_decides = True

    def __init__(self, path: Path) -> None:
        with needs_extra(EXTRA, "the reader fastslide"):
            import fastslide

        self.path = path
        try:
            self.vendor = _check_file(path)
            self._slide = fastslide.FastSlide.from_file_path(str(path))
        except (RuntimeError, ValueError) as error:
            raise unreadable(path, _reason(error)) from error
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            self._open()
        except BaseException:
            self._slide.close()
            raise

    def _open(self) -> None:
        slide = self._slide
        if fault := _pixel_fault(slide):
            raise fault.at(self.path)
        slide.set_cache(CACHE_BYTES)
        self.level_sizes = [(int(w), int(h)) for w, h in slide.level_dimensions]
        width, height = self.level_sizes[0]
        self.level_scales = [(width / w, height / h) for w, h in self.level_sizes]
        self.levels_state = "picture" if len(self.level_sizes) > 1 else "alike"
        self.bounds = (0, 0, width, height)
        if slide.mpp and min(slide.mpp) > 0:
            self.stated = (Stated((float(slide.mpp[0]), float(slide.mpp[1])), "fastslide"),)
        self.objective_power = float(slide.properties.get("magnification") or 0) or None
        self.left_out = tuple(f"image {number}: another image" for number in range(1, slide.num_images))
        self.warnings = (
            f"{self.path.name}: fastslide reads tiles that cannot be decoded as white, without an error",
        )
        self.fingerprint = fingerprint(self.path)

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        try:
            pixels = self._slide.read_region(location=(x, y), level=level, size=(w, h)).numpy()
        except (RuntimeError, ValueError) as error:
            raise unreadable(self.path, _reason(error)) from error
        if pixels.shape != (h, w, 3) or pixels.dtype != np.uint8:
            raise unreadable(self.path, f"fastslide returned {pixels.dtype} {pixels.shape}")
        return np.array(pixels)

    def icc_profile(self) -> bytes | None:
        """Return the embedded ICC profile of the pixels, unchanged; None without one."""
        return self._slide.icc_profile or None

    def close(self) -> None:
        """Close the file. May be called several times."""
        self._slide.close()


def _check_file(path: Path) -> str:
    """Return the vendor of a file that only fastslide may be able to read.

    Raises:
        SlideError: If the file is of another format, or parts of it are missing.
        OSError: If it cannot be read.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or suffix not in VENDORS:
        known = None if path.is_dir() else content_of(path)
        # without advice to rename it, which would not help here
        what = f"it is {known.partition('; name it')[0]}" if known else f"it reads {', '.join(VENDORS)} only"
        raise SlideError(f"not for the reader fastslide: {what}", where=path, remedy=OTHER_READER)
    folder = companion_folder(path)
    if folder is not None and not folder.is_dir():
        raise without_folder(folder).at(path)
    if suffix == ".czi" and (fault := czi_fault(path)):
        raise fault.at(path)
    return VENDORS[suffix]


def _pixel_fault(slide: Any) -> SlideError | None:
    """Return why the pixels of an open slide are not read, or None."""
    if slide.dtype != "uint8":
        return SlideError(f"has more than 8 bits a channel ({slide.dtype})", remedy="export it with 8 bits")
    if slide.num_channels != 3:
        return SlideError(
            f"has {slide.num_channels} channels, and only RGB is read", remedy="export it as RGB"
        )
    if slide.z_count > 1 or slide.t_count > 1:
        return SlideError("has several focal planes or times", remedy="export one of them by itself")
    return None


def _reason(error: Exception) -> str:
    """Return the first line of an error of fastslide, without the path of the file."""
    return re.sub(r"^Failed to (open slide '.*?'|read region): ", "", str(error).partition("\n")[0])
