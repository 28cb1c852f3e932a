"""Which images may be levels, by what the file says of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.slide.levels.choice import Level, LevelImage, choose_levels, factor_range

FIRST = LevelImage("image 1", (3000, 1400), (256, 256), (0.5, 0.5), kind=(7, 2))


def level(w: int, h: int, *, mpp: float | None = None) -> LevelImage:
    return LevelImage("image 2", (w, h), (256, 256), None if mpp is None else (mpp, mpp), kind=(7, 2))


def ways(image: LevelImage, first: LevelImage = FIRST) -> list[Level]:
    found = choose_levels([first, image]).levels
    return found[1] if len(found) > 1 else []


def why_not(image: LevelImage, first: LevelImage = FIRST) -> str:
    (reason,) = choose_levels([first, image]).left_out
    return reason


@given(
    size=st.tuples(st.integers(64, 100_000), st.integers(64, 100_000)),
    steps=st.lists(st.sampled_from([2, 4]), min_size=1, max_size=3),
    rounding=st.lists(st.sampled_from([math.floor, math.ceil, round]), min_size=3, max_size=3),
)
def test_sides_that_were_halved_and_rounded_at_each_step_are_levels(
    size: tuple[int, int], steps: list[int], rounding: list[object]
) -> None:
    images, (w, h) = [LevelImage("first", size, (256, 256))], size
    for step, how in zip(steps, rounding, strict=False):
        w, h = (max(1, int(how(side / step))) for side in (w, h))  # type: ignore[operator]
        images.append(LevelImage("further", (w, h), (256, 256)))
    choice = choose_levels(images)
    assert not choice.left_out
    for image, (way, *_) in zip(images, choice.levels, strict=True):
        assert way.size == image.size
        assert way.scale == pytest.approx((size[0] / image.size[0], size[1] / image.size[1]))


@given(st.integers(300, 100_000), st.integers(8, 300), st.integers(1, 6))
def test_each_axis_has_its_own_scale_within_a_pixel_of_the_level(w: int, h: int, power: int) -> None:
    factor = 2**power
    size = max(1, w // factor), max(1, h // factor)
    (way, *_) = ways(LevelImage("further", size), LevelImage("first", (w, h)))
    for side, part, scale in zip((w, h), size, way.scale, strict=True):
        if side < factor:
            continue
        # pixel i of the level holds the pixels i * factor to (i + 1) * factor of level 0
        assert all(abs(i * scale - i * factor) <= factor for i in (0, part // 2, part))


def test_the_range_of_factors_holds_those_that_round_to_the_size() -> None:
    assert factor_range((3000, 1400), (750, 350)) == pytest.approx((3000 / 751, 1400 / 351), rel=0.01)
    low, high = factor_range((3000, 2400), (320, 320))
    assert low > high
    assert factor_range((100, 10), (1, 1))[1] == math.inf


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (level(320, 320), "its sides are 1/9.375 and 1/4.375 of level 0's"),
        (level(730, 350, mpp=2.0), "its sides are 1/4.11 and 1/4 of level 0's"),
        (level(3000, 1400), "its sides are 1/1 and 1/1 of level 0's"),
        (replace(level(750, 350), role="a label"), "the file calls it a label"),
        (replace(level(750, 350), container="B"), "it is of another glass slide"),
        (replace(level(750, 350, mpp=2.0), origin=(20_000.0, 30_040.0)), "it begins 40 um beside level 0"),
        (
            replace(level(750, 350, mpp=2.0), orientation=(0, 1, 0, 1, 0, 0)),
            "it is rotated relative to level 0",
        ),
    ],
)
def test_what_shows_something_else_is_left_out_with_the_reason(image: LevelImage, reason: str) -> None:
    first = replace(FIRST, container="A", origin=(20_000.0, 30_000.0), orientation=(0, -1, 0, -1, 0, 0))
    assert not ways(image, first)
    w, h = image.size
    assert why_not(image, first) == f"image 2 ({w} x {h}): {reason}"


@pytest.mark.parametrize("beside", [0.0, 0.9])
def test_an_origin_within_half_a_pixel_of_the_level_is_the_same(beside: float) -> None:
    first = replace(FIRST, origin=(20_000.0, 30_000.0))
    assert ways(replace(level(750, 350, mpp=2.0), origin=(20_000.0, 30_000.0 + beside)), first)
    assert not ways(replace(level(750, 350, mpp=2.0), origin=(20_000.0, 30_001.1)), first)


@pytest.mark.parametrize(
    ("image", "scale", "size"),
    [
        (level(768, 512, mpp=2.0), (4.0, 4.0), (750, 350)),
        (level(1536, 768, mpp=1.0), (2.0, 2.0), (1500, 700)),
        (level(768, 512, mpp=2.000001), (4.0, 4.0), (750, 350)),  # a pixel size of few digits
        (level(768, 512), (4.0, 4.0), (750, 350)),  # by the power of two alone
    ],
)
def test_padded_levels_are_scaled_by_their_pixels_not_their_size(
    image: LevelImage, scale: tuple[float, float], size: tuple[int, int]
) -> None:
    (way,) = ways(image)
    assert (way.scale, way.size) == (scale, size)
    assert way.doubt is not None


def test_padding_that_happens_to_keep_the_shape_does_not_deceive() -> None:
    first = LevelImage("first", (2560, 1280), (256, 256), (0.5, 0.5))
    (way,) = ways(level(512, 256, mpp=4.0), first)  # a fifth of both sides, but an eighth by its pixels
    assert (way.scale, way.size) == ((8.0, 8.0), (320, 160))
    candidates = ways(level(512, 256), first)  # without a word there are several ways
    assert {candidate.scale for candidate in candidates} == {(8.0, 8.0), (5.0, 5.0)}
    assert all(candidate.doubt for candidate in candidates)


@pytest.mark.parametrize(
    ("image", "doubt"),
    [
        (level(750, 350), None),
        (level(750, 350, mpp=2.0), None),
        (level(750, 350, mpp=0.5), None),  # the tags of level 0, copied
        (level(750, 350, mpp=1.3), "its pixels are said to be 2.6 times as large as level 0's"),
        (level(1000, 467), "its scale is no power of two"),
        (replace(level(750, 350), kind=(8, 2)), "it is stored in another way than level 0"),
        (level(187, 87), "levels between are missing"),
    ],
)
def test_what_is_odd_is_compared_before_it_is_believed(image: LevelImage, doubt: str | None) -> None:
    (way,) = ways(image)
    assert way.doubt == doubt


@pytest.mark.parametrize("side", [0.0, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pixel_size_that_no_pixel_has_is_unknown(side: float, axis: int) -> None:
    mpp = (0.5, side) if axis else (side, 0.5)
    odd, image = replace(FIRST, mpp=mpp), level(1500, 700, mpp=1.0)
    assert odd.mpp is None
    assert ways(image, first=odd) == ways(image, first=replace(FIRST, mpp=None))
    assert ways(replace(image, mpp=mpp)) == ways(replace(image, mpp=None))


def test_images_of_one_size_are_in_doubt() -> None:
    twice = choose_levels([FIRST, level(750, 350), level(750, 350)]).levels[1:]
    assert [way.doubt for (way,) in twice] == ["several images have its size"] * 2


@pytest.mark.parametrize(
    ("sides", "true"),
    [((2036, 2036), (1018, 1018)), ((2040, 2040), (1020, 1020)), ((2036, 2020), (1018, 1010))],
)
def test_padding_of_less_than_a_hundredth_of_a_square_level_is_seen(
    sides: tuple[int, int], true: tuple[int, int]
) -> None:
    first = LevelImage("first", sides, (256, 256), (0.25, 0.25))
    found = ways(LevelImage("image 2", (1024, 1024), (256, 256), (0.5, 0.5)), first)
    assert (found[0].scale, found[0].size) == ((2.0, 2.0), true)
    assert all(way.doubt for way in found)


@pytest.mark.parametrize("mpp", [0.497, 0.4973, 0.5])
def test_pixel_sizes_of_few_digits_make_no_padding(mpp: float) -> None:
    """Of a level of whole tiles without padding."""
    factor = 2036 / 1024 if mpp < 0.5 else 2
    first = LevelImage("first", (round(1024 * factor),) * 2, (256, 256), (0.25, 0.25))
    (way,) = ways(LevelImage("image 2", (1024, 1024), (256, 256), (mpp, mpp)), first)
    assert way.size == (1024, 1024)
    assert way.scale == pytest.approx((factor, factor))
