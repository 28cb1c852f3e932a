"""CZI files whose pixels are not of 8 bits in every tile."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from tests.made_formats import czi
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
