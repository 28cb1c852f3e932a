from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.train.augment.made import floats, he_tiles, levels, noise
from wsi_embed_train.augment import colour

PILLOW: dict[Callable[[Tensor, Tensor], Tensor], Callable[[Image.Image, float], Image.Image]] = {
    colour.brightness: F.adjust_brightness,
    colour.contrast: F.adjust_contrast,
    colour.saturation: F.adjust_saturation,
    colour.hue: F.adjust_hue,
}


def flat(level: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (level,) * 3)


IMAGES = [*he_tiles(), noise(), flat(0), flat(255), Image.new("RGB", (64, 64), (255, 0, 255))]


@pytest.mark.parametrize("factor", [0.0, 0.6, 0.95, 1.0, 1.4, 2.0])
@pytest.mark.parametrize("op", [colour.brightness, colour.contrast, colour.saturation])
def test_blends_are_pillows(op: Callable[[Tensor, Tensor], Tensor], factor: float) -> None:
    ours = op(floats(IMAGES), torch.full((len(IMAGES),), factor))
    apart = levels(ours, [PILLOW[op](image, factor) for image in IMAGES])
    # Pillow cuts off what we keep: half a level on average
    assert apart.abs().mean() < 0.6
    assert apart.abs().max() < 1.5


def test_mean_of_the_contrast_is_pillows_whole_level() -> None:
    ours = colour.contrast(floats(IMAGES), torch.zeros(len(IMAGES)))
    assert levels(ours, [F.adjust_contrast(image, 0.0) for image in IMAGES]).abs().max() < 0.01


@pytest.mark.parametrize("turn", [-0.5, -0.1, -0.003, 0.0, 0.04, 0.1, 0.3])
def test_hue_is_pillows_within_its_rounding(turn: float) -> None:
    # Pillow stores hue, saturation and value as bytes, and its circle of 255 steps wraps after 256
    ours = colour.hue(floats(IMAGES), torch.full((len(IMAGES),), turn))
    apart = levels(ours, [F.adjust_hue(image, turn) for image in IMAGES]).abs()
    assert apart[:-1].mean((1, 2, 3)).max() < 1
    assert apart[-1].max() < 10  # one step of a pure colour is 6 levels


@pytest.mark.parametrize("steps", [-127, -26, -1, 0, 7, 25, 127])
def test_hue_is_that_of_the_standard_library(steps: int) -> None:
    triples = np.random.default_rng(0).integers(0, 4, (300, 3)) / 3  # many ties and greys
    triples[150:] = np.random.default_rng(1).random((150, 3))
    tile = torch.tensor(triples.T.reshape(1, 3, 10, 30), dtype=torch.float32)
    ours = colour.hue(tile.clone(), torch.tensor([(steps + 0.3 * np.sign(steps)) / 255])).view(3, -1).T
    for before, after in zip(triples, ours.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        assert after == pytest.approx(
            colorsys.hsv_to_rgb((hue + steps / 255) % 1, saturation, value), abs=1e-5
        )


def test_grey_is_pillows() -> None:
    ours = colour.grey(floats(IMAGES)).expand(-1, 3, -1, -1)
    apart = levels(ours, [F.rgb_to_grayscale(image, 3) for image in IMAGES])
    assert apart.abs().max() < 0.51


@pytest.mark.parametrize("op", PILLOW)
def test_each_tile_has_its_own_factor(op: Callable[[Tensor, Tensor], Tensor]) -> None:
    factors = torch.linspace(-0.4, 0.4, len(IMAGES)) + (op is not colour.hue)
    together = op(floats(IMAGES), factors)
    alone = [op(floats([image]), factor[None]) for image, factor in zip(IMAGES, factors, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


def test_jitter_is_applied_in_the_order() -> None:
    factors = torch.tensor([[1.4, 0.7, 1.3, 0.05]]).repeat(len(IMAGES), 1)
    ours = colour.jitter(floats(IMAGES), factors, [3, 0, 2, 1])
    theirs = IMAGES
    for op in (colour.hue, colour.brightness, colour.saturation, colour.contrast):
        theirs = [PILLOW[op](image, factors[0, colour.JITTER.index(op)].item()) for image in theirs]
    apart = levels(ours, theirs).abs()
    other = levels(colour.jitter(floats(IMAGES), factors, [1, 2, 0, 3]), theirs).abs()
    assert apart.mean() < 1.5
    assert other.mean() > 4 * apart.mean()


@given(
    st.lists(st.sampled_from([0.0, 1 / 255, 0.3, 0.5, 1.0]), min_size=12, max_size=12),
    st.tuples(*[st.floats(0, 2, width=32)] * 3, st.floats(-0.5, 0.5, width=32)),
    st.permutations([0, 1, 2, 3]),
)
def test_colours_stay_colours(values: list[float], factors: tuple[float, ...], order: list[int]) -> None:
    ours = colour.jitter(torch.tensor(values).view(1, 3, 2, 2), torch.tensor([factors]), order)
    assert torch.isfinite(ours).all()
    assert ours.min() >= 0
    assert ours.max() <= 1 + 1e-6
