"""What is not mutated is read as it is, and what is wrong is noticed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fuzz.annotations.areas import EXPECTED
from tests.fuzz.case import BadMessageError, Case, WrongContentError, WrongResolutionError, check_message
from tests.fuzz.kinds import KINDS, bases_of
from tests.fuzz.picture import FACTORS, HEIGHT, PICTURE, WIDTH, check_tile
from tests.fuzz.worker import write_case
from tests.made_slides import write_tiff
from wsi_embed.slide import UInt8Array

BASES = {kind: bases_of(kind) for kind in KINDS}
N = 32


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, found in BASES.items() for name in found])
def test_what_was_not_mutated_is_read_whole(kind: str, name: str, tmp_path: Path) -> None:
    path = write_case(tmp_path / "case", Case(BASES[kind][name]))
    refused = name == "planes"  # which nothing here reads
    assert KINDS[kind].exercise(path, "all") in (("refused",) if refused else ("read", "tiff", "openslide"))


def tile_at(x: float, y: float, side: int) -> UInt8Array:
    part = PICTURE[round(y) : round(y) + side, round(x) : round(x) + side]
    return np.asarray(cv2.resize(part, (N, N), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("x", "y"), [(0, 0), (200, 130), (450, 350)])
def test_a_tile_has_to_lie_where_it_says(factor: int, x: int, y: int) -> None:
    side = N * factor

    def check(dx: int, dy: int) -> None:
        check_tile(tile_at(x + dx * factor, y + dy * factor, side), (x, y), (side, side), factor)

    for step in (0, 1):
        check(step, 0)
        check(0, step)
    for shift in ((5, 0), (0, 5), (5, 5)):
        with pytest.raises(WrongContentError):
            check(*shift)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda tile: tile[..., ::-1],
        lambda tile: np.repeat(tile[..., :1], 3, axis=2),
        lambda tile: tile[::-1],
        lambda tile: np.full_like(tile, 255),
        lambda tile: cv2.cvtColor(tile, cv2.COLOR_RGB2YCrCb),
    ],
)
def test_a_tile_has_to_show_the_picture(wrong) -> None:  # type: ignore[no-untyped-def]
    tile = tile_at(200, 130, N)
    with pytest.raises(WrongContentError):
        check_tile(np.ascontiguousarray(wrong(tile)), (200, 130), (N, N), 1)


def test_beyond_the_picture_nothing_is_known() -> None:
    check_tile(np.zeros((N, N, 3), np.uint8), (WIDTH - N + 1, 0), (N, N), 1)
    check_tile(np.zeros((N, N, 3), np.uint8), (0, HEIGHT), (N, N), 1)


def test_a_slide_that_lies_elsewhere_is_noticed(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "slide.tif", PICTURE, levels=(1, 2, 4))
    assert KINDS["ome"].exercise(path, "all") == "read"
    write_tiff(path, np.roll(PICTURE, 16, axis=1), levels=(1, 2, 4))
    assert KINDS["ome"].exercise(path, "nothing") == "read"
    with pytest.raises(WrongContentError):
        KINDS["ome"].exercise(path, "content")


def test_another_resolution_is_noticed(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "slide.tif", PICTURE, mpp=0.25, levels=(1,))
    assert KINDS["ome"].exercise(path, "content") == "read"
    with pytest.raises(WrongResolutionError, match=r"0\.25 um"):
        KINDS["ome"].exercise(path, "all")


@pytest.mark.parametrize("name", BASES["annotations"])
def test_other_areas_are_noticed(name: str, tmp_path: Path) -> None:
    ((file, content),) = BASES["annotations"][name].items()
    changed = content.replace(b"361.0", b"351.0").replace(b"241.0", b"231.0")
    assert changed != content
    path = write_case(tmp_path / "case", Case({file: changed}))
    assert KINDS["annotations"].exercise(path, "nothing") == "read"
    with pytest.raises(WrongContentError, match="too few"):
        KINDS["annotations"].exercise(path, "content")


def test_areas_differ_by_class() -> None:
    masks = [mask for _, mask in EXPECTED]
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    assert all(mask.any() for mask in masks)


@pytest.mark.parametrize("text", ["two\nlines", "a bell \a", "half a pair \ud800", "x" * 1001])
def test_messages_are_a_line_of_text(text: str) -> None:
    check_message("slide.tif: 0.25 µm, ¡not! 日本")
    with pytest.raises(BadMessageError):
        check_message(text)
