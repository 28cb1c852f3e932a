from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made_tissue import glass, haematoxylin_eosin, made, outline, stitching, vignetting
from wsi_embed.errors import SlideError
from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.glass import (
    chroma_of,
    divide,
    divide_local,
    find_glass,
    local_glass,
    padding,
    refuse_dark,
)
from wsi_embed.tissue.mask import find_tissue
from wsi_embed.tissue.recipe import TissueRecipe


def flat(colour: tuple[int, int, int], shape: tuple[int, int] = (60, 80)) -> UInt8Array:
    return np.full((*shape, 3), colour, np.uint8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.05, 0.7])
def test_the_lamps_colour_is_found_beside_tissue(seed: int, share: float) -> None:
    view = glass(seed, (300, 400))
    haematoxylin_eosin(view, outline(view.rng, view.shape, share))
    found = find_glass(view.photograph())
    assert found is not None
    np.testing.assert_allclose(found, view.lamp, atol=2.5)


@pytest.mark.parametrize("colour", [0, 255])
def test_padding_is_not_taken_for_glass(colour: int) -> None:
    view = glass(1, (300, 400))
    pixels = view.photograph()
    pixels[:200] = colour
    found = find_glass(pixels)
    assert found is not None
    np.testing.assert_allclose(found, view.lamp, atol=2.5)
    assert padding(pixels)[:200].all()
    assert not padding(pixels)[210:].any()


def test_where_only_white_is_bright_white_is_glass() -> None:
    pixels = flat((180, 90, 160))
    pixels[:20] = 255
    assert find_glass(pixels) == (255, 255, 255)


@pytest.mark.parametrize("colour", [(180, 90, 160), (60, 30, 90), (0, 0, 0), (225, 175, 205)])
def test_a_view_without_glass_has_none(colour: tuple[int, int, int]) -> None:
    assert find_glass(flat(colour)) is None


@settings(max_examples=30)
@given(colour=st.tuples(*[st.integers(170, 255)] * 3), dim=st.floats(0.3, 1))
def test_what_is_grey_against_the_glass_has_no_chroma(colour: tuple[int, int, int], dim: float) -> None:
    pixels = np.rint(np.array(flat(colour)) * dim).astype(np.uint8)
    assert chroma_of(divide(pixels, colour)).max() <= 3  # of rounding


def test_dark_fields_are_refused_and_dark_stains_are_not() -> None:
    rng = np.random.default_rng(0)
    dark = rng.poisson(4, (200, 300, 3)).astype(np.uint8)
    dark[50:100, 50:200, 0] += 90  # one glowing channel
    with pytest.raises(SlideError, match=r"fluorescence or dark field.*`tissue='none'`"):
        refuse_dark(dark, 50)
    refuse_dark(dark, 0)
    with pytest.raises(SlideError, match="typical brightness of 0 "):
        refuse_dark(flat((0, 0, 0)), 50)
    dense = (np.array((70, 35, 105)) + rng.integers(-25, 25, (200, 300, 1))).clip(0, 255).astype(np.uint8)
    refuse_dark(dense, 50)
    dense[:, :200] = 0  # black padding beside it
    refuse_dark(dense, 50)


def test_black_padding_beside_glass_is_no_dark_field() -> None:
    pixels, truth = made(3, "he")
    pixels[:, 300:] = 0
    mask, _ = find_tissue(pixels, TissueRecipe(), 8.0)
    assert not mask[:, 300:].any()
    assert (mask[:, :300] & truth[:, :300]).any()


@pytest.mark.parametrize("step", [stitching, vignetting])
def test_local_glass_follows_the_background(step: object) -> None:
    view = glass(5)
    step(view)  # type: ignore[operator]
    truth = view.light * view.lamp
    pixels = view.photograph()
    found = find_glass(pixels)
    assert found is not None
    blocks = local_glass(pixels, found, 16, 20)
    balanced, chroma = divide_local(pixels, blocks, 16)
    sharp = np.linalg.norm(truth, axis=2).std()
    assert np.median(np.abs(255 - balanced.astype(float))) < 4 < sharp
    assert np.percentile(chroma, 99) < np.percentile(chroma_of(divide(pixels, found)), 99) + 3
    assert np.percentile(chroma, 99) < 10


def test_local_glass_under_tissue_comes_from_around_it() -> None:
    pixels = flat((240, 238, 242), (160, 160))
    pixels[40:120, 40:120] = (180, 90, 160)
    blocks = local_glass(pixels, (240.0, 238.0, 242.0), 16, 20)
    np.testing.assert_allclose(blocks, np.broadcast_to((240, 238, 242), blocks.shape), atol=0.5)


def test_local_glass_of_a_view_without_any_is_the_slides() -> None:
    blocks = local_glass(flat((180, 90, 160)), (240.0, 238.0, 242.0), 16, 20)
    np.testing.assert_allclose(blocks, np.broadcast_to((240, 238, 242), blocks.shape))
