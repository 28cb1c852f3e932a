"""Slides that wrap other slides."""

from __future__ import annotations

from typing import Generic, TypeVar

from wsi_embed.slide.base import Slide

Within = TypeVar("Within", bound=Slide)


class WrappedSlide(Slide, Generic[Within]):
    """Slide with the metadata of another slide.

    All attributes that `Slide` declares are copied; a subclass replaces those in which it differs.

    Args:
        slide: Open slide to wrap; closed together with this one.
    """

    def __init__(self, slide: Within) -> None:
        self._slide = slide
        for name in Slide.__annotations__:
            value = getattr(slide, name)
            setattr(self, name, list(value) if isinstance(value, list) else value)

    def icc_profile(self) -> bytes | None:
        """Return the ICC profile of the wrapped slide."""
        return self._slide.icc_profile()

    def dct_scales(self, level: int) -> list[int]:
        """Return the scales of the wrapped slide."""
        return self._slide.dct_scales(level)

    def close(self) -> None:
        """Close the wrapped slide. May be called several times."""
        self._slide.close()
