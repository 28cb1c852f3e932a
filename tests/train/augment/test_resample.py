from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage
from torch import Tensor

from tests.train.augment.made import floats, he_tiles, levels, noise, stacked
from wsi_embed_train.augment.resample import blur, box_blurs, crop

IMAGES = [*he_tiles(3, 80), noise(80)]
BOXES = [(0, 0, 80, 80), (11, 3, 40, 53), (0, 41, 80, 39), (79, 20, 1, 7)]


def unturned(count: int) -> Tensor:
    return torch.zeros(count, 2, dtype=torch.bool)


@pytest.mark.parametrize("px", [32, 80, 96, 161])
def test_crop_is_pillows_each_tile_by_its_box(px: int) -> None:
    # 80 to 32 pixels needs antialiasing: without it noise differs by 20 levels
    size = (px, px)
    for shift in range(4):
        shown = IMAGES[shift:] + IMAGES[:shift]
        ours = crop(stacked(shown), torch.tensor(BOXES), unturned(4), px)
        theirs = [F.resized_crop(im, *box, size) for im, box in zip(shown, BOXES, strict=True)]
        apart = levels(ours, theirs).abs()
        assert apart.max() < 1.05  # Pillow rounds after columns and after rows
        assert apart.mean() < 0.4


def test_crop_mirrors_what_it_shows() -> None:
    ways = [(False, False), (False, True), (True, False), (True, True)]
    box = (11, 3, 40, 53)
    ours = crop(stacked([IMAGES[0]] * 4), torch.tensor([box] * 4), torch.tensor(ways), 48)
    for view, (upside_down, mirrored) in zip(ours, ways, strict=True):
        expected = F.resized_crop(IMAGES[0], *box, (48, 48))
        if upside_down:
            expected = F.vflip(expected)
        if mirrored:
            expected = F.hflip(expected)
        assert levels(view[None], [expected]).abs().max() < 1.05


def test_whole_tile_at_its_size_comes_back_exactly() -> None:
    ours = crop(stacked(IMAGES), torch.tensor([[0, 0, 80, 80]] * 4), unturned(4), 80)
    assert torch.equal(ours, floats(IMAGES))


def test_tiles_that_are_views_of_other_memory() -> None:
    wide = stacked([noise(96)] * 2)
    part = wide[:, 8:88, 8:88]
    assert not part.is_contiguous()
    box = torch.tensor([[5, 6, 40, 50]] * 2)
    assert torch.equal(crop(part, box, unturned(2), 32), crop(part.contiguous(), box, unturned(2), 32))


@given(st.data())
def test_crop_stays_between_the_least_and_the_greatest_of_its_box(data: st.DataObject) -> None:
    side, px = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    height, width = data.draw(st.integers(1, side)), data.draw(st.integers(1, side))
    top, left = data.draw(st.integers(0, side - height)), data.draw(st.integers(0, side - width))
    tile = stacked([noise(side, seed=data.draw(st.integers(0, 99)))])
    ours = crop(tile, torch.tensor([[top, left, height, width]]), unturned(1), px)
    assert ours.shape == (1, 3, px, px)
    shown = tile[:, top : top + height, left : left + width].amin((1, 2)), tile.amax((1, 2))
    assert (ours.amin((2, 3)) >= shown[0] / 255 - 1e-6).all()
    assert (ours.amax((2, 3)) <= shown[1] / 255 + 1e-6).all()


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 1.0, 1.7, 2.0, 7.5])
def test_blur_is_pillows(sigma: float) -> None:
    ours = blur(floats(IMAGES), box_blurs(torch.full((4,), sigma), sigma))
    apart = levels(ours, [image.filter(ImageFilter.GaussianBlur(sigma)) for image in IMAGES])
    # six roundings; near an edge Pillow repeats it before each of its passes
    inside = apart[..., 14:-14, 14:-14] if sigma <= 2 else apart
    assert inside.abs().mean() < 1.0
    assert inside.abs().max() < (3.5 if sigma <= 2 else 30)
    assert apart[:3].abs().mean() < 1.0


def test_blur_that_pillow_would_not_see_changes_nothing_much() -> None:
    shown = floats(IMAGES[:3])
    assert ((blur(shown, box_blurs(torch.full((3,), 0.1), 2.0)) - shown) * 255).abs().mean() < 1


def test_no_blur_at_all_is_exact() -> None:
    assert torch.equal(blur(floats(IMAGES), box_blurs(torch.zeros(4), 0.0)), floats(IMAGES))


def test_blur_is_a_convolution_with_edges_repeated_each_tile_by_its_kernel() -> None:
    kernels = box_blurs(torch.tensor([0.2, 0.9, 1.4, 2.0]), 2.0)
    ours = blur(floats(IMAGES), kernels)
    for view, image, kernel in zip(ours, floats(IMAGES).double().numpy(), kernels.numpy(), strict=True):
        rows = ndimage.convolve1d(image, kernel, axis=1, mode="nearest")
        np.testing.assert_allclose(view, ndimage.convolve1d(rows, kernel, axis=2, mode="nearest"), atol=1e-6)


def test_kernel_longer_than_the_tile() -> None:
    small = [Image.new("RGB", (5, 5), (10, 200, 30))]
    blurred = blur(floats(small), box_blurs(torch.tensor([20.0]), 20.0))
    assert levels(blurred, small).abs().max() < 0.01


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5), st.floats(0.125, 30, width=32))
def test_kernels_have_the_mass_and_variance_of_their_gaussian(parts: list[float], largest: float) -> None:
    sigma = torch.tensor(parts) * largest
    kernels = box_blurs(sigma, largest).double()
    at = torch.arange(kernels.shape[1]) - kernels.shape[1] // 2
    assert (kernels >= -1e-7).all()
    torch.testing.assert_close(kernels.sum(1), torch.ones(len(parts)).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close((kernels * at**2).sum(1), sigma.double() ** 2, atol=1e-4, rtol=1e-3)
