"""Slides read by OpenSlide, with pixels directly in NumPy arrays."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import openslide
from openslide import lowlevel

from wsi_embed.slide.base import Slide, UInt8Array, unreadable
from wsi_embed.slide.decode_once import DecodeOnce
from wsi_embed.slide.dicom.check import check_dicom
from wsi_embed.slide.dicom.images import series_warnings
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.slide.levels.settle import settle_levels
from wsi_embed.slide.ome import MOST_XML
from wsi_embed.slide.openslide.handles import Handles
from wsi_embed.slide.openslide.level import OpenSlideLevel, jpeg2000_layout
from wsi_embed.slide.openslide.refusals import refused, unknown
from wsi_embed.slide.openslide.trial import check_opens
from wsi_embed.slide.planes import dicom_plane_fault
from wsi_embed.slide.resolution.fields import stated_resolutions
from wsi_embed.slide.stream import TileStream
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.images import tiff_images
from wsi_embed.slide.tiff.precheck import open_tiff
from wsi_embed.slide.tiff.tags import TiffError
from wsi_embed.slide.vendors.czi import scene_warnings
from wsi_embed.slide.vendors.ventana import ventana_fault

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid

UInt32Array = npt.NDArray[np.uint32]


class OpenSlideSlide(Slide):
    """Slide read by OpenSlide (https://openslide.org).

    OpenSlide takes level-0 positions, and interpolates if they are not whole pixels of the level. `read` uses
    the nearest level-0 position, so at a downsample that is not an integer a pixel can be off by at most half
    a level-0 pixel.

    Args:
        path: Slide file.

    Attributes:
        tiff: The file as an open TIFF; None for other formats.
        tiff_images: Images of the TIFF.
        stored_sizes: (width, height) of each level with its padding, pixels.

    Raises:
        SlideError: If OpenSlide does not know the format, or the file is damaged.
    """

    reader = "openslide"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tiff = open_tiff(path)
        try:
            self._open()
        except BaseException:
            self.close_tiff()
            raise

    def _open(self) -> None:
        path = self.path
        try:
            if self.tiff is None:
                check_dicom(path)
            if self.tiff is None or path.suffix.lower() == ".ndpi":
                check_opens(path)
            self._handles = Handles(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise unknown(path) from error
        except openslide.OpenSlideError as error:
            raise refused(path, error) from error
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            with self._handles.use() as osr:
                sizes = self._read_metadata(osr)
            self._settle_levels(
                sizes
            )  # outside of the handle: this reads pixels, and an error would stick to it
        except (openslide.OpenSlideError, TiffError, OSError) as error:
            raise unreadable(path, error) from error

    def _read_metadata(self, osr: openslide.OpenSlide) -> list[tuple[int, int]]:
        """Read OpenSlide's properties, and return the sizes of its levels."""
        p = osr.properties
        self.vendor = p.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self._downsamples = [float(d) for d in osr.level_downsamples]
        sizes = [(int(w), int(h)) for w, h in osr.level_dimensions]
        width, height = sizes[0]
        self.bounds = (
            int(p.get(openslide.PROPERTY_NAME_BOUNDS_X, 0)),
            int(p.get(openslide.PROPERTY_NAME_BOUNDS_Y, 0)),
            int(p.get(openslide.PROPERTY_NAME_BOUNDS_WIDTH, width)),
            int(p.get(openslide.PROPERTY_NAME_BOUNDS_HEIGHT, height)),
        )
        self.stated = stated_resolutions(self.path, self.vendor, sizes[0], p, self.description())
        fault = dicom_plane_fault(p) if self.vendor == "dicom" else None
        if self.vendor == "ventana" and self.tiff is not None:
            fault = ventana_fault(self.tiff.directories())
        if fault:
            raise fault.at(self.path)
        if self.vendor == "zeiss":
            self.warnings = tuple(scene_warnings(self.path, p))
        self.objective_power = _number(p.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
        self.fingerprint = fingerprint(self.path)
        return sizes

    def _settle_levels(self, sizes: list[tuple[int, int]]) -> None:
        self.tiff_images = tiff_images(self.tiff.directories()) if self.tiff else []
        settled = settle_levels(
            self.path, self.vendor, sizes, self._downsamples, self.tiff_images, self._read_openslide
        )
        self._numbers, self.level_sizes, self.level_scales = settled.numbers, settled.sizes, settled.scales
        self.stored_sizes = [sizes[number] for number in settled.numbers]
        if self.vendor == "dicom":
            settled.warnings += series_warnings(self.path, sizes[0])
        self.warnings, self.left_out = (*self.warnings, *settled.warnings), tuple(settled.left_out)
        self.levels_state = settled.state
        self.levels_decide = len(settled.numbers) != len(sizes) or self.stored_sizes != self.level_sizes

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        return self._read_openslide(self._numbers[level], x, y, w, h)

    def _read_openslide(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        """Read a region of a level, by OpenSlide's number of the level."""
        downsample = self._downsamples[level]
        return _argb_to_rgb(self._argb(level, (round(x * downsample), round(y * downsample)), (w, h)))

    def _argb(self, level: int, corner: tuple[int, int], size: tuple[int, int]) -> UInt32Array:
        try:
            with self._handles.use() as osr:
                return _region(osr, corner, level, size)
        except openslide.OpenSlideError:
            pass  # it may be another thread's error: retry with a handle of our own
        try:
            with self._handles.fresh() as osr:
                return _region(osr, corner, level, size)
        except openslide.OpenSlideError as error:
            raise unreadable(self.path, error) from error

    def _stream(self, grid: TileGrid) -> TileStream:
        level, layout = grid.level, None
        if not self.interpolates(level) and not self.padded(level):
            layout = jpeg2000_layout(self.path, self.vendor, self.tiff_images, self.level_sizes[level])
        if layout is None:
            return TileStream(self, grid)
        return DecodeOnce(self, grid, OpenSlideLevel(layout, partial(self._read, level)))

    def highest_alpha(self, x: int, y: int, w: int, h: int) -> int:
        """Return the highest alpha in a region of level 0: 0 if it is transparent, 255 if it is opaque.

        Raises:
            SlideError: If the region cannot be decoded.
        """
        return int((self._argb(0, (x, y), (w, h)) >> 24).max())

    def description(self) -> str:
        """Return the ImageDescription of the first image of a Leica slide; empty for other slides.

        Raises:
            TiffError: If it is not inside the file.
            OSError: If the file cannot be read.
        """
        if self.tiff is None or self.vendor != "leica":  # for others it is among OpenSlide's properties
            return ""
        return self.tiff.directories()[0].text(tiff.IMAGE_DESCRIPTION, MOST_XML)

    def interpolates(self, level: int) -> bool:
        """Return whether OpenSlide interpolates the pixels of a level: its downsample is not an integer."""
        return bool(self._downsamples[self._numbers[level]] % 1)

    def padded(self, level: int) -> bool:
        """Return whether a level is stored with padding at its right and bottom edge."""
        return self.stored_sizes[level] != self.level_sizes[level]

    def icc_profile(self) -> bytes | None:
        """Return the embedded ICC profile of the pixels, unchanged; None without one.

        Raises:
            SlideError: If the profile cannot be read.
        """
        try:
            with self._handles.use() as osr:
                profile: bytes | None = lowlevel.read_icc_profile(osr._osr)
        except openslide.OpenSlideError as error:
            raise unreadable(self.path, error) from error
        return profile

    def share_cache(self, cache: openslide.OpenSlideCache) -> None:
        """Use a tile cache that is shared with other slides, to save memory if many slides are open."""
        self._handles.share_cache(cache)

    def close_tiff(self) -> None:
        """Close the file that was opened for reading the TIFF's directories."""
        if self.tiff is not None:
            self.tiff.close()

    def close(self) -> None:
        """Close the file. May be called several times."""
        self.close_tiff()
        self._handles.close()


def _region(
    osr: openslide.OpenSlide, corner: tuple[int, int], level: int, size: tuple[int, int]
) -> UInt32Array:
    """Read premultiplied ARGB. The public read_region uses a Pillow image, at a third of the speed."""
    argb = np.empty(size[::-1], np.uint32)
    pointer = argb.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
    lowlevel._read_region(osr._osr, pointer, *corner, level, *size)
    return argb


def _argb_to_rgb(argb: UInt32Array) -> UInt8Array:
    """Blend premultiplied native-endian ARGB, uint32 [h, w], over white."""
    bgra = argb.astype("<u4", copy=False).view(np.uint8).reshape(*argb.shape, 4)
    rgb = np.asarray(cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB), np.uint8)
    alpha = bgra[..., 3]
    if alpha.min() == 255:
        return rgb
    white = cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2RGB)
    # colours may exceed alpha in some files: saturate at 255
    return np.asarray(cv2.add(rgb, white), np.uint8)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
