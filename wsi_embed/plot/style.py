"""Sizes of text, lines and margins, which scale with the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import ImageFont

# DejaVu Sans with the Latin, Greek and Cyrillic letters. The font of Pillow is ASCII only, without µ.
# Made by: python -m fontTools.subset DejaVuSans.ttf --layout-features=kern --no-hinting --unicodes=
# U+20-7E,U+A0-17F,U+192,U+218-21B,U+370-3FF,U+400-45F,U+1E00-1EFF,U+2010-2026,U+2030,U+20AC,U+2212,
# U+2260-2265,U+FFFD
FONT = Path(__file__).parent / "font" / "DejaVuSans.ttf"


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
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all pictures in a size, pixels."""
    return ImageFont.truetype(BytesIO(FONT.read_bytes()), size, layout_engine=ImageFont.Layout.BASIC)


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
