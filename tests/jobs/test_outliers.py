from __future__ import annotations

import random
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_embed.jobs.outliers import find_outliers
from wsi_embed.jobs.report import SlideResult, Status


def cohort(count: int, seed: int = 0) -> list[SlideResult]:
    """Slides as a scanner gives them: tissue of 8 to 40 %, resolutions that differ by a little."""
    rng = random.Random(seed)
    slides = []
    for index in range(count):
        share = rng.uniform(0.08, 0.4)
        tiles = round(20000 * share * rng.uniform(0.6, 1.4))
        slides.append(
            SlideResult(f"s{index}", f"s{index}.svs", "done", tiles, share, rng.choice((0.2514, 0.2528)))
        )
    return slides


@pytest.mark.parametrize("seed", range(20))
def test_usual_slides_are_not_odd(seed: int) -> None:
    assert find_outliers(cohort(40, seed)) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tissue": 0.995}, "99.5 % of the slide is tissue"),
        ({"tissue": 0.002}, "0.2 % of the slide is tissue"),
        ({"tiles": 12}, "12 tiles"),
        ({"tiles": 400_000}, "400000 tiles"),
        ({"mpp": 0.5}, "0.5 um per pixel"),
        ({"mpp": 0.0252}, "0.0252 um per pixel, most slides have 0.25"),
    ],
)
def test_what_is_unlike_the_rest_is_found(change: dict[str, float], says: str) -> None:
    slides = cohort(30)
    slides[7] = replace(slides[7], **change)  # type: ignore[arg-type]
    odd = find_outliers(slides)
    assert list(odd) == ["s7"]
    assert says in odd["s7"][0]


def test_a_slide_less_sharp_than_the_rest_is_found_and_a_sharper_one_is_not() -> None:
    rng = random.Random(1)
    slides = [replace(slide, focus=rng.uniform(18, 30), blurred=0.02) for slide in cohort(30)]
    assert find_outliers(slides) == {}
    slides[3], slides[4] = replace(slides[3], focus=5.1), replace(slides[4], focus=90.0)
    odd = find_outliers(slides)
    assert list(odd) == ["s3"]
    assert "less sharp than the others (median focus 5.1, of most slides about 2" in odd["s3"][0]


@pytest.mark.parametrize(("share", "found"), [(0.24, False), (0.25, True), (None, False)])
def test_a_slide_with_many_blurred_tiles_is_found_alone(share: float | None, found: bool) -> None:
    odd = find_outliers([replace(cohort(1)[0], blurred=share)])
    assert ("25 % of its tiles are blurred" in str(odd)) == found


def test_two_scanners_are_two_rests() -> None:
    slides = cohort(40)
    for slide in slides[::3]:
        slide.mpp = 0.5
    assert find_outliers(slides) == {}


@given(st.lists(st.sampled_from([0.12, 0.25, 0.2528, 0.27, 0.31, 0.5]), min_size=8, max_size=60))
def test_odd_resolutions_are_those_that_comparing_all_with_all_finds(found: list[float]) -> None:
    slides = [SlideResult(f"s{i}", "s.svs", "done", 100, 0.3, mpp) for i, mpp in enumerate(found)]
    middle = median(found)
    rare = {
        f"s{i}"
        for i, a in enumerate(found)
        if sum(abs(b - a) <= 0.1 * a for b in found) < 0.1 * len(found) + 1 and abs(a - middle) > 0.1 * middle
    }
    assert set(find_outliers(slides)) == rare


def test_seven_slides_are_no_rest_to_be_unlike_of() -> None:
    slides = cohort(7)
    slides[0].tiles = 1
    assert find_outliers(slides) == {}
    slides = cohort(8)
    slides[0].tiles = 1
    assert list(find_outliers(slides)) == ["s0"]


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_failed_slides_and_empty_bags_take_no_part(status: Status) -> None:
    slides = cohort(10)
    slides += [SlideResult(f"x{i}", "x.svs", status) for i in range(30)]
    slides += [SlideResult(f"e{i}", "e.svs", "done", 0, 0.0, 0.25) for i in range(30)]
    assert find_outliers(slides) == {}


def test_equal_slides_do_not_make_a_small_difference_odd() -> None:
    slides = [SlideResult(f"s{i}", "s.svs", "done", 100, 0.3, 0.25) for i in range(10)]
    slides.append(SlideResult("t", "t.svs", "done", 130, 0.35, 0.26))
    assert find_outliers(slides) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tissue": 1.0, "near_empty": 0.0}, "all of the slide is tissue"),
        ({"tissue": 0.4, "near_empty": 0.27}, "27 % of its tiles are nearly empty"),
    ],
)
def test_a_mask_that_looks_wrong_is_found_in_a_single_slide(change: dict[str, float], says: str) -> None:
    slide = replace(cohort(1)[0], **change)  # type: ignore[arg-type]
    assert says in find_outliers([slide])["s0"][0]


def test_copies_of_a_slide_are_found() -> None:
    contents = ["x", None, "y", "x", None, "x"]
    slides = [replace(s, content=c) for s, c in zip(cohort(6), contents, strict=True)]
    words = "its file has the content of s0; leave one of them out, or a patient counts twice"
    assert find_outliers(slides) == {"s3": [words], "s5": [words]}


@pytest.mark.parametrize("change", [{"tissue": 1.0}, {"tissue": 0.9, "near_empty": 0.05}, {}])
def test_slides_taken_whole_and_usual_masks_are_not_odd(change: dict[str, float]) -> None:
    """Without a mask (`--tissue none`) all of a slide is taken on purpose."""
    assert find_outliers([replace(cohort(1)[0], **change)]) == {}  # type: ignore[arg-type]
