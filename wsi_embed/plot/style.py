"""Sizes of text, lines and margins, which scale with the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Style:
    """Sizes in pixels.

    Attributes:
        px: Longest side of a view, with which the other sizes scale.
    """

    px: int

    @property
    def margin(self) -> int:
        """Width of the white margins around and between views."""
        return max(6, round(0.024 * self.px))

    @property
    def text(self) -> int:
        """Font size of legends."""
        return max(9, round(0.024 * self.px))

    @property
    def title(self) -> int:
        """Font size of titles."""
        return max(10, round(0.030 * self.px))

    @property
    def row(self) -> int:
        """Distance between legend entries."""
        return round(1.5 * self.text)

    @property
    def line(self) -> int:
        """Width of a contour, half the width of its halo."""
        return max(2, round(0.004 * self.px))


@cache
def font(size: int) -> Font:
    """Return Pillow's built-in font in a size."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Return the width of a line of text, pixels."""
    return round(font(size).getlength(text))


def shortened(text: str, size: int, width: int) -> str:
    """Shorten a text in its middle if it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    kept = len(text)
    while kept > 2:
        kept -= 1
        short = text[: (kept + 1) // 2] + "..." + text[len(text) - kept // 2 :]
        if text_width(short, size) <= width:
            return short
    return text[:1] + "..."
