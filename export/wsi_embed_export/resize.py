"""Resizing and centre crop in the exported graph, with the pixels of Pillow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

# Pillow keeps the weights of its filters as fixed-point numbers with 22 binary digits. Products of pixels and
# halves of 11 digits stay below 2 ** 24, where float32 is exact.
_ONE, _HALF = 2**22, 2**11


def _triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


def _cubic(x: float, a: float = -0.5) -> float:
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


_FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}
INTERPOLATIONS = tuple(_FILTERS)


@dataclass(frozen=True)
class Transform:
    """Geometry between a tile and the input of a network: `Resize(resize)` and `CenterCrop(crop)`.

    Attributes:
        tile_px: Side of a tile, pixels.
        resize: Side of the resized tile, pixels.
        crop: Side of its centre that the network sees, pixels.
        interpolation: `bilinear` or `bicubic`, antialiased.

    Raises:
        UsageError: If the crop is larger than the resized tile, or the interpolation is unknown.
    """

    tile_px: int
    resize: int
    crop: int
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.crop > self.resize:
            raise UsageError(
                f"larger than the resized tile of {self.resize} pixels", where=argument("crop", self.crop)
            )
        if self.interpolation not in _FILTERS:
            raise UsageError(
                f"choose {' or '.join(_FILTERS)}", where=argument("interpolation", self.interpolation)
            )

    def module(self) -> ResizeCrop | None:
        """Return the transform as a module; None if it changes nothing."""
        return None if self.tile_px == self.resize == self.crop else ResizeCrop(self)

    def __str__(self) -> str:
        parts = [] if self.tile_px == self.resize else [f"resize {self.resize} {self.interpolation}"]
        parts += [] if self.crop == self.resize else [f"centre crop {self.crop}"]
        return ", ".join(parts) or "none"


class ResizeCrop(nn.Module):
    """Resizing with antialiasing and centre crop, as `Resize` and `CenterCrop` of torchvision on PIL images.

    Resizing is separable and linear, so it is a matrix product for each axis. All engines compute those in
    the same way, while their operators for resizing differ. As in Pillow, weights are fixed-point numbers and
    pixels are rounded to whole numbers after each axis, so the result has the pixels of Pillow bit for bit.

    Args:
        transform: Geometry of the tiles.
    """

    high: Tensor
    low: Tensor

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        start = round((transform.resize - transform.crop) / 2)
        self.window = slice(start, start + transform.crop)
        self.resizes = transform.tile_px != transform.resize
        if self.resizes:
            weights = resize_weights(transform.tile_px, transform.resize, transform.interpolation)
            high, low = np.divmod(weights[self.window], _HALF)
            self.register_buffer("high", torch.from_numpy(high.astype(np.float32)))
            self.register_buffer("low", torch.from_numpy(low.astype(np.float32)))

    def forward(self, images: Tensor) -> Tensor:
        """Resize and crop images, float32 [B, 3, tile_px, tile_px] in [0, 255], to [B, 3, crop, crop]."""
        if not self.resizes:
            return images[:, :, self.window, self.window]
        images = _pixels(images @ self.high.T, images @ self.low.T)  # first along rows, as Pillow
        return _pixels(self.high @ images, self.low @ images)


def _pixels(high: Tensor, low: Tensor) -> Tensor:
    """Return `(high * _HALF + low) / _ONE`, rounded half up and clipped; each step is exact in float32."""
    whole = high + torch.floor(low / _HALF)
    return torch.floor((whole + _HALF / 2) / (_ONE / _HALF)).clamp(0, 255)


def resize_weights(size: int, out: int, interpolation: str) -> npt.NDArray[np.int64]:
    """Return the weights of Pillow's resizing of one axis, int64 [out, size], as multiples of 2 ** -22.

    Pixel `i` of the result is the mean of the pixels around `(i + 0.5) * size / out - 0.5`, weighted by the
    filter. If the image gets smaller, the filter is widened by the same factor, which prevents aliasing.

    Args:
        size: Number of pixels.
        out: Number of pixels of the result.
        interpolation: `bilinear` or `bicubic`.
    """
    filter_at, support = _FILTERS[interpolation]
    scale = size / out
    widened = max(scale, 1.0)
    weights = np.zeros((out, size))
    for i in range(out):
        centre = (i + 0.5) * scale
        first = max(0, int(centre - support * widened + 0.5))
        last = min(size, int(centre + support * widened + 0.5))
        row = np.array([filter_at((x - centre + 0.5) / widened) for x in range(first, last)])
        weights[i, first:last] = row / row.sum()
    return np.trunc(weights * _ONE + np.copysign(0.5, weights)).astype(np.int64)
