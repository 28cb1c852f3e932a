"""CZI files whose pixels are not of 8 bits in every tile."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.made_formats import czi
from tests.made_formats.pixels import shrunk
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS = he_pixels(512, 768, seed=5)


@pytest.mark.parametrize("number", range(8))
def test_a_czi_with_deep_pixels_in_any_tile_is_refused(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = czi._entry

    def deep(*values: Any) -> bytes:
        made, tile = entry(*values), values[4]
        return made[:2] + struct.pack("<i", czi.BGR48) + made[6:] if tile == number else made

    monkeypatch.setattr(czi, "_entry", deep)
    with pytest.raises(SlideError, match="its samples have 16 bits"):
        open_slide(czi.write_czi(tmp_path / "a.czi", PIXELS))


def test_scenes_lie_as_on_the_glass_and_further_ones_are_a_warning(tmp_path: Path) -> None:
    pixels, second = he_pixels(512, 768, seed=3), he_pixels(256, 512, seed=8)
    path = czi.write_czi(tmp_path / "a.czi", pixels, scenes=[(second, (1000, 133))])
    with open_slide(path) as slide:
        assert slide.level_sizes == [(1582, 512), (791, 256)]
        assert np.array_equal(slide.read(0, 0, 0, 768, 512), pixels)
        assert np.array_equal(slide.read(0, 1070, 100, 512, 256), second)
        assert np.array_equal(slide.read(1, 535, 50, 256, 128), shrunk(second, 2))
        assert slide.warnings == (
            "a.czi: its 2 scenes are read as one picture, as they lie on the glass, and coordinates count "
            "from its corner; to read a scene by itself, export it from ZEN",
        )
    with open_slide(czi.write_czi(tmp_path / "b.czi", pixels)) as slide:
        assert slide.warnings == ()
