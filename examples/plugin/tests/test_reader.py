from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsi_embed.errors import SlideError
from wsi_embed.slide import UInt8Array, open_slide
from wsi_embed.slide.conformance import SlideConformance

PIXELS = np.random.default_rng(0).integers(0, 256, (310, 270, 3), np.uint8)


class TestNpySlide(SlideConformance):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        np.save(tmp_path / "made.npy", PIXELS)
        return tmp_path / "made.npy"

    @pytest.fixture
    def level0(self) -> UInt8Array:
        return PIXELS


def test_the_resolution_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    with open_slide(tmp_path / "a.npy") as slide:
        assert slide.mpp is None
    (tmp_path / "a.json").write_text('{"mpp": 0.5}')
    with open_slide(tmp_path / "a.npy") as slide:
        assert (slide.mpp, slide.mpp_source) == ((0.5, 0.5), "mpp")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SlideError, match="has no resolution"):
        open_slide(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [PIXELS[..., 0], PIXELS.astype(np.uint16), PIXELS[:0], "text"])
def test_anything_else_is_refused(content: UInt8Array | str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    if isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content)
    with pytest.raises(SlideError, match=r"a\.npy: (not a NumPy array|holds .* instead of uint8)"):
        open_slide(path)
