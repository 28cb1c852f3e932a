from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T

from tests.made_models import tiny_config
from wsi_embed_train.augment.published import PillowBlur, TwoViews
from wsi_embed_train.recipe import load_recipe

DRAWS = 1000
PLAIN: dict[str, Any] = {
    "crop_scale": (1.0, 1.0), "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0
}  # fmt: skip


def two_views(**only: Any) -> TwoViews:
    """Views with nothing on but what is named, neither normalised."""
    return TwoViews(replace(tiny_config(), **(PLAIN | only)), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def noise(px: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (px, px, 3), np.uint8))


def draws(views: TwoViews, image: Image.Image, count: int = DRAWS) -> npt.NDArray[np.float32]:
    """Both views of many draws, float [2 * count, 3, px, px]."""
    torch.manual_seed(0)
    return np.concatenate([torch.stack(views(image)).numpy() for _ in range(count // 2)])


def close_to(rate: float, count: int = DRAWS) -> Any:
    """Four standard deviations of a rate."""
    return pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / count))


def test_published_parameters() -> None:
    crop, jitter, grey, blur, flip, _, normalise = TwoViews(
        load_recipe("clubyol"), (0.7, 0.5, 0.6), (0.1, 0.2, 0.3)
    ).transform.transforms
    assert (crop.size, crop.scale, crop.ratio) == ((224, 224), (0.2, 1.0), (3 / 4, 4 / 3))
    assert jitter.p == 0.8
    colour = jitter.transforms[0]
    assert isinstance(colour, T.ColorJitter)
    assert (colour.brightness, colour.contrast, colour.saturation) == ((0.6, 1.4),) * 3
    assert colour.hue == (-0.1, 0.1)
    assert grey.p == 0.2
    assert (blur.p, blur.transforms[0].sigma) == (0.5, (0.1, 2.0))
    assert flip.p == 0.5
    assert (normalise.mean, normalise.std) == ((0.7, 0.5, 0.6), (0.1, 0.2, 0.3))


def test_nothing_on_gives_the_normalised_image() -> None:
    mean, std = (0.7, 0.5, 0.6), (0.1, 0.2, 0.3)
    views = TwoViews(replace(tiny_config(), **PLAIN), mean, std)(noise())
    expected = (np.asarray(noise(), np.float64) / 255 - np.array(mean)) / np.array(std)
    for view in views:
        assert view.dtype == torch.float32
        np.testing.assert_allclose(view.permute(1, 2, 0), expected, atol=1e-5)


def test_half_of_the_views_is_flipped_each_by_itself() -> None:
    image = noise()
    plain = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    flipped = np.array([np.allclose(v, plain[:, :, ::-1]) for v in draws(two_views(flip_p=0.5), image)])
    assert flipped.mean() == close_to(0.5)
    pairs = flipped.reshape(-1, 2)
    assert pairs.all(1).mean() == close_to(0.25, len(pairs))


def test_a_fifth_of_the_views_is_grey() -> None:
    views = draws(two_views(grey_p=0.2), noise())
    assert np.mean([np.ptp(v, axis=0).max() == 0 for v in views]) == close_to(0.2)


@pytest.mark.parametrize(("name", "rate"), [("jitter_p", 0.8), ("blur_p", 0.5)])
def test_share_of_changed_views(name: str, rate: float) -> None:
    image = noise()
    plain = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    # Below a radius of about 0.3 Pillow's blur changes nothing: take one that shows.
    views = draws(two_views(**{name: rate, "blur_sigma": (1.0, 2.0)}), image)
    assert np.mean([not np.allclose(v, plain) for v in views]) == close_to(rate)


def test_crop_area_has_the_distribution_of_the_published_crop() -> None:
    # A pixel's colour is its position, so a view says which rectangle it shows.
    y, x = np.mgrid[:256, :256].astype(np.uint8)
    image = Image.fromarray(np.stack([x, y, x * 0], 2))
    views = draws(two_views(crop_scale=(0.2, 1.0)), image, 2000) * 255
    inner = 32 / (27 - 4)  # whole view from the distance of two columns inside
    widths = (views[:, 0, 16, 27] - views[:, 0, 16, 4]) * inner
    heights = (views[:, 1, 27, 16] - views[:, 1, 4, 16]) * inner
    areas = np.sort(widths * heights / 256**2)
    expected = np.sort([_published_area(np.random.default_rng(i)) for i in range(2000)])
    at = np.linspace(0.2, 1, 50)
    distance = np.abs(np.searchsorted(areas, at) - np.searchsorted(expected, at)).max() / 2000
    assert distance < 0.0608  # two-sample Kolmogorov-Smirnov, p = 0.001
    assert areas[0] == pytest.approx(0.2, abs=0.02)


def _published_area(rng: np.random.Generator) -> float:
    """One crop's area by the rule of Inception's crop: ten tries, then the whole (square) image."""
    for _ in range(10):
        area, ratio = rng.uniform(0.2, 1), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        if area * ratio <= 1 and area / ratio <= 1:
            return float(area)
    return 1.0


@pytest.mark.parametrize("radius", [0.1, 0.7, 2.0])
def test_blur_is_pillows(radius: float) -> None:
    blurred = PillowBlur((radius, radius))(noise())
    assert blurred.tobytes() == noise().filter(ImageFilter.GaussianBlur(radius)).tobytes()


def test_blur_radius_is_drawn_uniformly_with_torchs_generator() -> None:
    torch.manual_seed(5)
    radius = 0.1 + 1.9 * torch.rand(()).item()
    torch.manual_seed(5)
    blurred = PillowBlur((0.1, 2.0))(noise())
    assert blurred.tobytes() == noise().filter(ImageFilter.GaussianBlur(radius)).tobytes()


def test_same_seed_same_views() -> None:
    views = TwoViews(tiny_config(), (0.5,) * 3, (0.2,) * 3)
    torch.manual_seed(1)
    first = views(noise(48))
    torch.manual_seed(1)
    again = views(noise(48))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
