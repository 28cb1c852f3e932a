"""The font of pictures: no letter of a European name, and no unit, is an empty box."""

from __future__ import annotations

import pytest

from wsi_embed.plot.style import font

MISSING = bytes(font(20).getmask("\ue000"))


@pytest.mark.parametrize(
    "text", ["µm", "Größe", "naïve Łódź", "αβγδΔ", "Опухоль", "şçğı", "1 − 2 ± ½ …", "€ – — „ “"]
)
def test_letters_have_shapes(text: str) -> None:
    for letter in text.replace(" ", ""):
        assert bytes(font(20).getmask(letter)) != MISSING, letter


def test_letters_that_the_font_lacks_are_seen_to_be_missing() -> None:
    assert font(20).getlength("日本") > 0
