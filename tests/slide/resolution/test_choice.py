from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed.errors import ResolutionError
from wsi_embed.slide import Resolution, Slide, open_slide, resolve_mpp
from wsi_embed.slide.resolution.stated import Stated

PIXELS = he_pixels(64, 64)


def svs(folder: Path, mpp: float | None = None, power: float | None = None) -> Slide:
    return open_slide(write_svs(folder / "a.svs", PIXELS, mpp=mpp, power=power, levels=(1,)))


def tiff(folder: Path, x: float, y: float) -> Slide:
    return open_slide(write_tiff(folder / "a.tif", PIXELS, mpp=(x, y), levels=(1,)))


def test_the_metadata_are_believed(tmp_path: Path) -> None:
    assert resolve_mpp(svs(tmp_path, mpp=0.25, power=40)) == Resolution(0.25, "openslide.mpp-x", None)


def test_what_the_user_says_wins_over_the_metadata_with_a_warning(tmp_path: Path) -> None:
    found = resolve_mpp(svs(tmp_path, mpp=0.25), 0.5, "manifest")
    assert (found.mpp, found.source) == (0.5, "manifest")
    assert found.warning == "a.svs: the metadata say 0.25 um per pixel; using 0.5 (manifest)"


@pytest.mark.parametrize("mpp", [0.2501, 0.246, 0.254])
def test_what_the_user_says_within_2_percent_of_the_metadata_needs_no_warning(
    tmp_path: Path, mpp: float
) -> None:
    assert resolve_mpp(svs(tmp_path, mpp=0.25), mpp) == Resolution(mpp, "override", None)


def test_what_the_user_says_fills_in_for_missing_metadata(tmp_path: Path) -> None:
    assert resolve_mpp(svs(tmp_path), 0.5, "manifest") == Resolution(0.5, "manifest", None)


@pytest.mark.parametrize(("power", "mpp"), [(40, 0.25), (20, 0.5), (10, 1.0)])
def test_the_objective_power_is_the_last_resort_and_is_warned_of(
    tmp_path: Path, power: float, mpp: float
) -> None:
    found = resolve_mpp(svs(tmp_path, power=power))
    assert (found.mpp, found.source) == (mpp, "objective power")
    assert found.warning == f"a.svs: no mpp in the metadata; {power}x taken as {mpp:g} um per pixel"


def test_what_the_user_says_wins_over_the_objective_power(tmp_path: Path) -> None:
    assert resolve_mpp(svs(tmp_path, power=40), 0.5).mpp == 0.5


@pytest.mark.parametrize("power", [None, 0])
def test_an_unknown_resolution_names_the_flag_that_fixes_it(tmp_path: Path, power: float | None) -> None:
    with pytest.raises(ResolutionError, match=r"a\.svs: .*`mpp_default=` .* manifest column mpp"):
        resolve_mpp(svs(tmp_path, power=power))


@pytest.mark.parametrize("mpp", [0.05, 0.5, 20.0])
def test_values_in_range_are_accepted(tmp_path: Path, mpp: float) -> None:
    assert resolve_mpp(svs(tmp_path), mpp).mpp == mpp


@pytest.mark.parametrize("mpp", [0.0499, 20.01, 0.0, -0.5, math.nan, math.inf])
def test_values_out_of_range_are_refused_whoever_says_them(tmp_path: Path, mpp: float) -> None:
    with pytest.raises(ResolutionError, match=r"a\.svs: .* \(manifest\) is outside 0\.05 to 20"):
        resolve_mpp(svs(tmp_path), mpp, "manifest")


@pytest.mark.parametrize(
    ("mpp", "say"),
    [(0.02, "mpp_override"), (28.97, "mpp_override"), (352.8, "mpp_default"), (1000, "mpp_default")],
)
def test_metadata_out_of_range_are_refused(tmp_path: Path, mpp: float, say: str) -> None:
    with pytest.raises(ResolutionError, match=rf"outside 0\.05 to 20; .* `{say}=`"):
        resolve_mpp(tiff(tmp_path, mpp, mpp))


def test_a_default_is_for_slides_that_say_nothing(tmp_path: Path) -> None:
    assert resolve_mpp(svs(tmp_path), default=0.5) == Resolution(0.5, "--mpp-default", None)
    assert resolve_mpp(tiff(tmp_path, 352.8, 352.8), default=0.5) == Resolution(0.5, "--mpp-default", None)
    assert resolve_mpp(svs(tmp_path, mpp=0.25), default=0.5) == Resolution(0.25, "openslide.mpp-x", None)
    assert resolve_mpp(svs(tmp_path, power=40), default=0.5).source == "objective power"
    assert resolve_mpp(svs(tmp_path), 0.3, default=0.5) == Resolution(0.3, "override", None)


def test_a_default_is_not_for_slides_that_say_an_absurd_resolution(tmp_path: Path) -> None:
    """An overview of 28.97 um per pixel is no slide of 0.5 um."""
    with pytest.raises(ResolutionError, match=r"28\.97 um per pixel .* outside 0\.05 to 20"):
        resolve_mpp(tiff(tmp_path, 28.97, 28.97), default=0.5)


@pytest.mark.parametrize(("said", "given"), [(28.97, 0.5), (0.25, 0.52), (0.5, 0.24), (0.02, 0.25)])
def test_what_the_user_says_may_differ_by_more_than_a_factor_of_two_only_by_force(
    tmp_path: Path, said: float, given: float
) -> None:
    slide = tiff(tmp_path, said, said)
    with pytest.raises(
        ResolutionError, match=r"a\.tif: .* by a factor of .*`mpp_default=`.* add `force=True`"
    ):
        resolve_mpp(slide, given)
    found = resolve_mpp(slide, given, force=True)
    assert found.mpp == given
    assert found.warning is not None


@pytest.mark.parametrize(
    ("said", "given"), [(0.25, 0.5), (0.5, 0.25), (352.8, 0.5), (84.67, 0.25), (1000, 0.25)]
)
def test_a_factor_of_two_and_meaningless_defaults_are_overridden_with_a_warning(
    tmp_path: Path, said: float, given: float
) -> None:
    found = resolve_mpp(tiff(tmp_path, said, said), given)
    assert found.mpp == given
    assert found.warning is not None


def test_an_objective_power_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResolutionError, match=r"\(objective power\) is outside"):
        resolve_mpp(svs(tmp_path, power=0.1))


def test_absurd_metadata_can_be_overridden(tmp_path: Path) -> None:
    assert resolve_mpp(tiff(tmp_path, 352.8, 352.8), 0.5).mpp == 0.5


@pytest.mark.parametrize("stated", [(0, 0), (0.5, 0), (-1, 0.5), (math.nan, math.nan), (math.inf, 0.5)])
def test_a_size_that_no_pixel_has_says_nothing(tmp_path: Path, stated: tuple[float, float]) -> None:
    slide = svs(tmp_path)
    slide.stated = (Stated(stated, "made"),)
    with pytest.raises(ResolutionError, match=r"does not say its resolution: .* is outside 0\.05 to 20"):
        resolve_mpp(slide)
    assert resolve_mpp(slide, 0.5).mpp == 0.5
    assert resolve_mpp(slide, default=0.25).mpp == 0.25


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.508), (0.508, 0.5)])
def test_slightly_different_x_and_y_give_their_mean(tmp_path: Path, x: float, y: float) -> None:
    assert resolve_mpp(tiff(tmp_path, x, y)).mpp == pytest.approx(0.504, rel=1e-5)


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.512), (0.512, 0.5), (0.25, 0.5)])
def test_pixels_that_are_not_square_are_refused(tmp_path: Path, x: float, y: float) -> None:
    with pytest.raises(ResolutionError, match=r"a\.tif: pixels are not square .*`mpp_override=`"):
        resolve_mpp(tiff(tmp_path, x, y))


def test_pixels_that_are_not_square_can_be_overridden(tmp_path: Path) -> None:
    assert resolve_mpp(tiff(tmp_path, 0.25, 0.5), 0.5).mpp == 0.5


def test_a_real_slide_says_its_resolution(shared_slides: Path) -> None:
    with open_slide(shared_slides / "test3-TRITC-2-560.ndpi") as slide:
        assert resolve_mpp(slide).mpp == pytest.approx(0.2282, abs=1e-4)
