"""Formats of which OpenSlide alone knows the levels: no label comes out in the place of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.made_formats import czi, mirax, tiffs
from tests.made_formats.pixels import shrunk
from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide

PIXELS = he_pixels(512, 768, seed=5)


def label(height: int, width: int) -> UInt8Array:
    made = np.full((height, width, 3), 235, np.uint8)
    made[height // 3 : height // 2, width // 8 : -width // 8 : 6] = 20
    return made


WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.mrxs": lambda path: mirax.write_mirax(path, PIXELS),
    "a.czi": lambda path: czi.write_czi(path, PIXELS),
    "a.scn": lambda path: tiffs.write_leica(path, PIXELS, offset=(200, 300), slide=(1500, 1400)),
    "a.bif": lambda path: tiffs.write_ventana(path, PIXELS),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_label_in_the_place_of_a_level_is_never_shown(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_label(pixels: UInt8Array, factor: int) -> UInt8Array:
        level = shrunk(pixels, factor)
        return level if factor == 1 else label(*level.shape[:2])

    for module in (czi, mirax, tiffs):
        monkeypatch.setattr(module, "shrunk", with_label)
    with open_slide(WRITERS[name](tmp_path / name)) as slide:
        for _ in range(2):
            with pytest.raises(SlideError, match=r"its level 1 .* does not show what level 0 shows"):
                slide.read(1, 0, 0, 50, 50)
            with pytest.raises(SlideError, match=r"its level 1 .* does not show what level 0 shows"):
                slide.thumbnail(200)
