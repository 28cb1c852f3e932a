"""Reader of OME-Zarr slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array, unreadable
from wsi_embed.slide.decode_once import DecodeOnce
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.slide.ome_zarr.files import ZarrFiles
from wsi_embed.slide.ome_zarr.pyramid import open_pyramid
from wsi_embed.slide.resolution.stated import Stated
from wsi_embed.slide.stream import TileStream

if TYPE_CHECKING:
    from wsi_embed.grid import TileGrid


class OmeZarrSlide(Slide):
    """Slide in an OME-Zarr, a folder or a zip archive.

    Args:
        path: Folder or zip archive.

    Raises:
        SlideError: If it is not an image of RGB with 8 bits, or is damaged.
    """

    reader = "zarr"
    vendor = "ome-zarr"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._files = ZarrFiles(path)
            try:
                self._open()
            except BaseException:
                self._files.close()
                raise
        except SlideError as error:
            raise (error if error.where == str(path) else error.at(path)) from error
        except OSError as error:
            raise unreadable(path, error) from error

    def _open(self) -> None:
        pyramid = open_pyramid(self._files)
        self._levels = pyramid.levels
        self.level_sizes, self.level_scales = pyramid.sizes, pyramid.scales
        self.levels_state, self.levels_decide = pyramid.state, pyramid.incomplete
        self.left_out, self.warnings = tuple(pyramid.left_out), tuple(pyramid.warnings)
        if pyramid.mpp is not None:
            self.stated = (Stated(pyramid.mpp, "scale of OME-Zarr"),)
        layout = self._levels[0].layout
        self.tile_size = layout.tile_width, layout.tile_height
        self.bounds = (0, 0, layout.width, layout.height)
        self.fingerprint = fingerprint(self.path)

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        return self._levels[level].read(x, y, w, h)

    def _stream(self, grid: TileGrid) -> TileStream:
        return DecodeOnce(self, grid, self._levels[grid.level])

    def close(self) -> None:
        """Close the files. May be called several times."""
        for level in self._levels:
            level.close()
        self._files.close()
