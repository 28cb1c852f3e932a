"""Whether two levels show the same picture."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest

from tests.made_slides import UInt8Array, he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide.levels.match import Verdict
from wsi_embed.slide.levels.places import Picture, places_of
from wsi_embed.slide.levels.same_picture import compare, other_levels

PIXELS = he_pixels(1200, 1400, seed=3)
OTHER = he_pixels(1200, 1400, seed=8)
BLANK = np.full_like(PIXELS, 243)


def picture(pixels: UInt8Array, scale: float = 1.0) -> Picture:
    def read(x: int, y: int, w: int, h: int) -> UInt8Array:
        height, width = pixels.shape[:2]
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        return pixels[y : y + h, x : x + w]

    return Picture((pixels.shape[1], pixels.shape[0]), (scale, scale), read)


def shrunk(pixels: UInt8Array, factor: int, method: int = cv2.INTER_AREA) -> UInt8Array:
    size = pixels.shape[1] // factor, pixels.shape[0] // factor
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)


def verdict(coarse: UInt8Array, factor: int = 4, fine: UInt8Array = PIXELS, shifts: bool = True) -> Verdict:
    level = picture(coarse, factor)
    return compare(picture(fine), level, places_of(level), shifts).verdict


def sharpened(pixels: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.addWeighted(pixels, 1.8, cv2.GaussianBlur(pixels, (0, 0), 2), -0.8, 0), np.uint8)


def compressed(pixels: UInt8Array) -> UInt8Array:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize("method", [cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_LINEAR])
def test_a_level_is_the_same_however_it_was_shrunk(factor: int, method: int) -> None:
    assert verdict(shrunk(PIXELS, factor, method), factor) == "same"


@pytest.mark.parametrize("change", [sharpened, compressed, lambda p: (p * 0.97).astype(np.uint8)])
def test_a_level_may_be_sharper_or_darker_or_compressed(change: object) -> None:
    assert verdict(change(shrunk(PIXELS, 4))) == "same"  # type: ignore[operator]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p[::-1, ::-1],
        lambda p: p[:, ::-1],
        lambda p: p[::-1],
        lambda p: shrunk(OTHER, 4),
        lambda p: shrunk(BLANK, 4),
        lambda p: 255 - p,
        lambda p: p[..., ::-1],  # red and blue exchanged
        lambda p: p.mean(2, keepdims=True).astype(np.uint8) * np.ones(3, np.uint8),
        lambda p: np.minimum(p.astype(int) + 35, 255).astype(np.uint8),
        lambda p: np.asarray(cv2.resize(p[:200], p.shape[1::-1]), np.uint8),  # another scale
    ],
)
def test_another_picture_is_another(change: object) -> None:
    changed = np.ascontiguousarray(change(shrunk(PIXELS, 4)))  # type: ignore[operator]
    # where to look is decided by a level that shows the tissue
    places = places_of(picture(shrunk(PIXELS, 8), 8))
    assert compare(picture(PIXELS), picture(changed, 4), places, shifts=True).verdict == "other"


def grey(pixels: UInt8Array) -> UInt8Array:
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)


def test_a_grey_level_of_a_few_small_pieces_is_another() -> None:
    """The mean colour of a place hardly changes there."""
    pieces = BLANK.copy()
    pieces[500:560, 700:760] = PIXELS[500:560, 700:760]
    assert verdict(shrunk(pieces, 2), 2, pieces) == "same"
    assert verdict(compressed(shrunk(pieces, 2)), 2, pieces) == "same"
    assert verdict(grey(shrunk(pieces, 2)), 2, pieces) == "other"
    assert verdict(grey(shrunk(pieces, 2)), 2, grey(pieces)) == "same"


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (1, 1), (2, 0), (0, -2), (-3, 2), (5, 5), (0, 30)])
def test_shifts_of_two_pixels_and_more_are_found(factor: int, shift: tuple[int, int]) -> None:
    moved = np.roll(shrunk(PIXELS, factor), shift, (0, 1))
    expected = "same" if max(map(abs, shift)) == 1 else "other"
    assert verdict(moved, factor) == expected


def test_a_shift_may_not_matter() -> None:
    assert verdict(np.roll(shrunk(PIXELS, 4), 4, 0), shifts=False) == "same"
    assert verdict(shrunk(OTHER, 4), shifts=False) == "other"


def test_a_smooth_picture_does_not_seem_shifted() -> None:
    y, x = np.mgrid[:600, :12_000]
    ramp = np.stack([x / 50, y / 2.5, (x + y) / 60], 2).astype(np.uint8)
    levels = [picture(ramp), picture(shrunk(ramp, 4), 4), picture(shrunk(ramp, 16), 16)]
    assert other_levels(levels, shifts=True) == []


def test_where_nothing_is_to_be_seen_nothing_is_said() -> None:
    assert verdict(shrunk(BLANK, 4), fine=BLANK) == "unknown"


def test_the_levels_that_differ_are_named() -> None:
    levels = [picture(PIXELS), picture(shrunk(PIXELS, 2), 2), picture(shrunk(PIXELS, 4), 4)]
    assert other_levels(levels, shifts=True) == []
    assert other_levels([*levels, picture(shrunk(OTHER, 8), 8)], shifts=True) == [3]
    assert other_levels([*levels[:1], picture(shrunk(OTHER, 2), 2), *levels[2:]], shifts=True) == [1]
    assert other_levels(levels[:1], shifts=True) == []


def test_levels_that_are_all_made_carelessly_do_not_put_level_0_in_doubt() -> None:
    levels = [PIXELS, *((255 * (shrunk(PIXELS, f) / 255) ** 1.6).astype(np.uint8) for f in (2, 4, 8))]
    pictures = [picture(level, PIXELS.shape[1] / level.shape[1]) for level in levels]
    assert other_levels(pictures, shifts=True) == [1, 2, 3]


@pytest.mark.parametrize(
    "level0",
    [PIXELS[::-1, ::-1], OTHER, BLANK, 255 * (BLANK > 255)],
    ids=["turned", "other", "blank", "black"],
)
def test_level_0_is_in_doubt_if_the_others_agree_without_it(level0: UInt8Array) -> None:
    first = picture(np.ascontiguousarray(level0.astype(np.uint8)))
    levels = [first, picture(shrunk(PIXELS, 2), 2), picture(shrunk(PIXELS, 4), 4)]
    with pytest.raises(SlideError, match="its level 0 does not show what its other levels show"):
        other_levels(levels, shifts=True)


def test_what_cannot_be_read_says_nothing() -> None:
    def broken(x: int, y: int, w: int, h: int) -> UInt8Array:
        raise SlideError("damaged")

    coarse = picture(shrunk(PIXELS, 4), 4)
    assert (
        compare(Picture((1400, 1200), (1.0, 1.0), broken), coarse, places_of(coarse), True).verdict
        == "unknown"
    )
    assert other_levels([picture(PIXELS), Picture((350, 300), (4.0, 4.0), broken)], shifts=True) == []


def test_little_is_read_of_large_levels() -> None:
    """Of levels as large as those of a slide of 200,000 pixels a side."""
    read: list[int] = []

    def flat(side: int, x: int, y: int, w: int, h: int) -> UInt8Array:
        assert x + w <= side
        assert y + h <= side
        read.append(w * h)
        return np.asarray(np.indices((h, w)).sum(0)[..., None] // 7 % 256 * np.ones(3), np.uint8)

    levels = [Picture((side,) * 2, (200_000 / side,) * 2, partial(flat, side)) for side in (200_000, 50_000)]
    other_levels(levels, shifts=True)
    assert sum(read) < 3_000_000


def partly(coarse: UInt8Array, part: tuple[slice, slice], other: UInt8Array) -> UInt8Array:
    changed = coarse.copy()
    changed[part] = other
    return changed


RIGHT, LOWER, UPPER = np.s_[:, 175:], np.s_[150:, :], np.s_[:150, :]
Q = shrunk(PIXELS, 4)


@pytest.mark.parametrize(
    "changed",
    [
        partly(Q, RIGHT, np.full_like(Q[RIGHT], 255)),
        partly(Q, UPPER, np.full_like(Q[UPPER], 255)),
        partly(Q, RIGHT, np.zeros_like(Q[RIGHT])),
        partly(Q, LOWER, shrunk(OTHER, 4)[LOWER]),
        partly(Q, LOWER, Q[LOWER][:, ::-1]),
        partly(Q, LOWER, Q[LOWER][::-1, ::-1]),
        np.full_like(Q, 255),
        np.zeros_like(Q),
    ],
    ids=["right white", "upper white", "right black", "other", "mirrored", "turned", "white", "black"],
)
def test_a_level_of_which_a_part_is_missing_or_wrong_is_another(changed: UInt8Array) -> None:
    """Also if all coarser levels, where places are looked for, were made from it."""
    levels = [picture(PIXELS), picture(changed, 4), picture(shrunk(changed, 4), 16)]
    assert other_levels(levels, shifts=True) == [1, 2]
    assert verdict(changed) == "other"
    levels = [picture(PIXELS), picture(Q, 4), picture(shrunk(changed, 4), 16)]
    assert other_levels(levels, shifts=True) == [2]


def test_two_exchanged_tiles_are_found() -> None:
    a, b = np.s_[100:164, 100:164], np.s_[100:164, 164:228]
    assert verdict(partly(partly(Q, a, Q[b]), b, Q[a])) == "other"


def test_a_part_that_only_the_coarser_level_shows_does_not_decide() -> None:
    """The finest level of a sparse file may lack tiles that were there when the coarser ones were made."""
    sparse = partly(PIXELS, np.s_[600:860, 700:960], np.full((260, 260, 3), 255, np.uint8))
    assert verdict(Q, fine=sparse) == "same"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("method", [cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST])
def test_levels_of_any_tissue_are_the_same(seed: int, method: int) -> None:
    pixels = he_pixels(900, 1100, seed=20 + seed)
    steps = [picture(pixels), *(picture(compressed(shrunk(pixels, f, method)), f) for f in (2, 4, 16))]
    assert other_levels(steps, shifts=True) == []


def test_a_faint_label_is_not_the_picture_of_a_nearly_blank_slide() -> None:
    blank = np.full((2048, 2048, 3), 243, np.uint8)
    blank[100:160, 1800:1900] = PIXELS[500:560, 600:700]
    faint = np.full((128, 128, 3), 243, np.uint8)
    for n, text in enumerate(("JOHN DOE", "1.1.1950", "H123")):
        cv2.putText(faint, text, (4, 30 + 36 * n), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (225, 225, 225), 1)
    levels = [picture(blank), picture(shrunk(blank, 4), 4)]
    assert other_levels([*levels, picture(faint, 16)], shifts=True) == [2]
    uniform = np.full((2048, 2048, 3), 243, np.uint8)
    with pytest.raises(SlideError, match="its level 0 does not show what its other levels show"):
        other_levels([picture(uniform), picture(faint, 16)], shifts=True)
    assert other_levels([*levels, picture(shrunk(blank, 16), 16)], shifts=True) == []


@pytest.mark.parametrize("noise", [2, 4, 8])
@pytest.mark.parametrize("method", [cv2.INTER_AREA, cv2.INTER_NEAREST])
def test_noise_on_glass_is_no_content(noise: int, method: int) -> None:
    rng = np.random.default_rng(0)
    glass = (235 + rng.normal(0, noise, (1024, 1024, 1)).repeat(3, 2)).clip(0, 255).astype(np.uint8)
    levels = [picture(glass), *(picture(compressed(shrunk(glass, f, method)), f) for f in (4, 16))]
    assert other_levels(levels, shifts=True) == []


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_specks_that_were_sampled_are_content_of_both(radius: int) -> None:
    rng = np.random.default_rng(radius)
    glass = np.full((1024, 1024, 3), 243, np.uint8)
    for x, y in rng.integers(0, 1024, (40, 2)).tolist():
        cv2.circle(glass, (x, y), radius, (120, 60, 110), -1)
    levels = [picture(glass), picture(shrunk(glass, 4, cv2.INTER_NEAREST), 4)]
    assert compare(levels[0], levels[1], places_of(levels[1]), shifts=True).verdict != "other"
