from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from wsi_embed.slide import Slide, UInt8Array, open_slide
from wsi_embed.slide.wrapped import WrappedSlide


class Inverted(WrappedSlide[Slide]):
    def _read(self, level: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        return 255 - self._slide.read(level, x, y, w, h)


def test_everything_but_the_pixels_is_taken_over(made_slide: Path) -> None:
    with open_slide(made_slide) as slide:
        slide.warnings, slide.left_out, slide.objective_power = ("odd",), ("a label",), 20.0
        slide.levels_decide, slide.reader_decides, slide.levels_state = True, True, "shifts"
        wrapped = Inverted(slide)
        facts = list(Slide.__annotations__)
        assert {"path", "level_scales", "stated", "fingerprint", "reader_decides"} <= set(facts)
        assert [getattr(wrapped, name) for name in facts] == [getattr(slide, name) for name in facts]
        assert wrapped.mpp == slide.mpp
        assert wrapped.dct_scales(0) == slide.dct_scales(0)
        np.testing.assert_array_equal(wrapped.read(0, 5, 6, 7, 8), 255 - slide.read(0, 5, 6, 7, 8))


def test_levels_of_one_do_not_change_those_of_the_other(made_slide: Path) -> None:
    with open_slide(made_slide) as slide:
        wrapped = Inverted(slide)
        wrapped.level_sizes.append((1, 1))
        assert len(wrapped.level_sizes) == len(slide.level_sizes) + 1


def test_closing_closes_the_slide_within(made_slide: Path) -> None:
    slide = open_slide(made_slide, "openslide")
    wrapped = Inverted(slide)
    wrapped.read(0, 0, 0, 4, 4)
    wrapped.close()
    wrapped.close()
    with pytest.raises(ctypes.ArgumentError, match="closed slide"):
        slide.read(0, 0, 0, 4, 4)
