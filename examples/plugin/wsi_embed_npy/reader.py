"""NumPy arrays as slides: the pixels in `a.npy`, their resolution in `a.json` beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.slide.resolution.stated import Stated


class NpySlide(Slide):
    """A slide of one level: an array of RGB, uint8 [h, w, 3], that is read from the file region by region.

    Args:
        path: The `.npy` file.

    Raises:
        SlideError: If the file holds anything else.
    """

    reader = "npy"
    vendor = "numpy"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            pixels = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError) as error:  # an OSError becomes a SlideError without our help
            raise SlideError(
                f"not a NumPy array ({error})", where=path, remedy="save it with numpy.save"
            ) from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            found = f"{pixels.dtype} {list(pixels.shape)}"
            raise SlideError(
                f"holds {found} instead of uint8 [h, w, 3]", where=path, remedy="convert it to 8-bit RGB"
            )
        self._pixels: UInt8Array = pixels
        height, width, _ = pixels.shape
        self.level_sizes, self.level_scales = [(width, height)], [(1.0, 1.0)]
        self.bounds = (0, 0, width, height)
        self.stated = stated_mpp(path.with_suffix(".json"))
        self.fingerprint = fingerprint(path)

    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        return np.array(self._pixels[y : y + h, x : x + w])

    def close(self) -> None:
        """Release the file. Closing twice is fine."""
        self._pixels = np.empty((0, 0, 3), np.uint8)


def stated_mpp(path: Path) -> tuple[Stated, ...]:
    """Read micrometres per pixel from a file such as `{"mpp": 0.5}`; nothing if it is not there."""
    if not path.is_file():
        return ()
    try:
        mpp = float(json.loads(path.read_text("utf-8"))["mpp"])
    except (ValueError, LookupError, TypeError) as error:
        raise SlideError(
            "has no resolution", where=path, remedy='write um per pixel, as in {"mpp": 0.5}'
        ) from error
    return (Stated((mpp, mpp), "mpp"),)
