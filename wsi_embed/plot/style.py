"""Sizes of text, lines and margins: shares of the picture, so that it looks the same at any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Style:
    """Sizes in pixels.

    Attributes:
        px: Longest side of a view; everything else is a share of it.
    """

    px: int

    @property
    def margin(self) -> int:
        """White around and between views."""
        return max(6, round(0.024 * self.px))

    @property
    def text(self) -> int:
        """Height of the font of legends."""
        return max(9, round(0.024 * self.px))

    @property
    def title(self) -> int:
        """Height of the font of titles."""
        return max(10, round(0.030 * self.px))

    @property
    def row(self) -> int:
        """From one legend entry to the next."""
        return round(1.5 * self.text)

    @property
    def line(self) -> int:
        """Width of a contour; its halo is twice as wide."""
        return max(2, round(0.004 * self.px))


@cache
def font(size: int) -> Font:
    """The font of all pictures, which Pillow carries."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Pixels that a line of text takes."""
    return round(font(size).getlength(text))


def shortened(text: str, size: int, width: int) -> str:
    """The text, with its middle left out where it would be wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    kept = len(text)
    while kept > 2:
        kept -= 1
        short = text[: (kept + 1) // 2] + "..." + text[len(text) - kept // 2 :]
        if text_width(short, size) <= width:
            return short
    return text[:1] + "..."
