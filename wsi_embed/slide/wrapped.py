"""Slides around other slides."""

from __future__ import annotations

from typing import Generic, TypeVar

from wsi_embed.slide.base import Slide

Within = TypeVar("Within", bound=Slide)


class WrappedSlide(Slide, Generic[Within]):
    """A slide that has everything but its pixels from the slide within.

    All attributes that `Slide` declares are taken over; a subclass replaces those in which it differs.

    Args:
        slide: The open slide within; closed together with this one.
    """

    def __init__(self, slide: Within) -> None:
        self._slide = slide
        for name in Slide.__annotations__:
            value = getattr(slide, name)
            setattr(self, name, list(value) if isinstance(value, list) else value)

    def icc_profile(self) -> bytes | None:
        """Return the ICC profile of the slide within."""
        return self._slide.icc_profile()

    def dct_scales(self, level: int) -> list[int]:
        """Return those of the slide within."""
        return self._slide.dct_scales(level)

    def close(self) -> None:
        """Release the file. Closing twice is fine."""
        self._slide.close()
