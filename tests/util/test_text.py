from __future__ import annotations

import pytest

from wsi_embed.util.text import counted, names_of, percent, visible


def test_numbers() -> None:
    assert [counted(n, "tile") for n in (0, 1, 1234)] == ["0 tiles", "1 tile", "1,234 tiles"]
    assert [percent(x) for x in (0, 1e-6, 0.0006, 0.1234, 1)] == [
        "0.0 %", "< 0.1 %", "0.1 %", "12.3 %", "100.0 %",
    ]  # fmt: skip


def test_the_first_few_of_many() -> None:
    assert names_of(["a", "b"]) == "a, b"
    assert names_of("abcde") == "a, b, c and 2 more"
    assert names_of("abcde", most=1) == "a and 4 more"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b, µm, 日本, é\n\tc\u00a0d", "a b, µm, 日本, é\n\tc\u00a0d"),
        ("\x1b[31mred\x07\r", r"\x1b[31mred\x07\r"),
        ("\x9b2J and \u202eright to left", r"\x9b2J and \u202eright to left"),
        ("bad\udcff", r"bad\udcff"),
        ("\u2028", r"\u2028"),
    ],
)
def test_control_characters_are_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
