from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision.transforms.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import stats
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from tests.made_models import tiny_config
from tests.train.augment.made import floats, he_tiles, levels, noise, stacked
from wsi_embed_train.augment import Views, views
from wsi_embed_train.augment.draw import Draw
from wsi_embed_train.augment.published import TwoViews

PLAIN: dict[str, Any] = {
    "crop_scale": [1.0, 1.0], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0
}  # fmt: skip
PILLOW = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
BARE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
MEAN, STD = (0.7, 0.5, 0.6), (0.1, 0.2, 0.3)
EVERYTHING = {"stain": 0.05, "stain_p": 0.5, "vflip_p": 0.5}


def only(**settings: Any) -> Views:
    """Views with nothing on but what is named, not normalised."""
    return Views(tiny_config(**(PLAIN | settings)), *BARE)


def drawn(views: Views, tiles: Tensor, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    found: list[Tensor] = views(tiles)
    return found


def test_shape_kind_and_layout() -> None:
    for count in (1, 2, 5):
        found = Views(tiny_config(), MEAN, STD, count)(stacked(he_tiles(3, 48)))
        assert len(found) == count
        for view in found:
            assert (view.shape, view.dtype) == ((3, 3, 32, 32), torch.float32)
            assert view.is_contiguous(memory_format=torch.channels_last)
            assert not view.requires_grad


def test_nothing_on_gives_the_published_tensors_exactly() -> None:
    config = tiny_config(**PLAIN)
    images = [*he_tiles(2, 32), noise(32), Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32), "white")]
    published = torch.stack([TwoViews(config, MEAN, STD)(image)[0] for image in images])
    for view in Views(config, MEAN, STD)(stacked(images)):
        assert torch.equal(view, published)


def test_tiles_are_left_as_they_are() -> None:
    tiles = stacked(he_tiles(4, 32))
    before = tiles.clone()
    drawn(Views(tiny_config(**EVERYTHING, jitter_p=1.0, blur_p=1.0, grey_p=1.0), *BARE), tiles)
    assert torch.equal(tiles, before)


def test_states_of_the_generator_resume_exactly() -> None:
    module, tiles = Views(tiny_config(**EVERYTHING), MEAN, STD), stacked(he_tiles(4, 40))
    drawn(module, tiles)
    state = torch.get_rng_state()
    going_on = [view for _ in range(3) for view in module(tiles)]
    torch.rand(17)
    torch.set_rng_state(state)
    again = [view for _ in range(3) for view in module(tiles)]
    assert all(torch.equal(one, other) for one, other in zip(going_on, again, strict=True))
    assert not torch.equal(going_on[0], going_on[2])


def test_numbers_come_from_pytorchs_generator_alone() -> None:
    module, tiles = Views(tiny_config(**EVERYTHING), MEAN, STD), stacked(he_tiles(4, 40))
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), repr(np.random.get_state())
    drawn(module, tiles)
    assert (random.getstate(), repr(np.random.get_state())) == before


def test_views_and_tiles_are_independent() -> None:
    one, other = drawn(only(flip_p=0.5), stacked([noise(32)]).expand(1000, -1, -1, -1))
    plain = floats([noise(32)])[0]
    flips = np.array([[torch.equal(tile, plain.flip(2)) for tile in view] for view in (one, other)])
    assert flips.mean(1) == pytest.approx([0.5, 0.5], abs=0.065)
    assert abs(np.corrcoef(flips)[0, 1]) < 0.13
    assert abs(np.corrcoef(flips[0, 1:], flips[0, :-1])[0, 1]) < 0.13


@pytest.mark.parametrize(
    ("setting", "rate"),
    [
        ("jitter_p", 0.8),
        ("grey_p", 0.2),
        ("blur_p", 0.5),
        ("vflip_p", 0.5),
        ("flip_p", 0.3),
        ("stain_p", 0.4),
    ],
)
def test_share_of_changed_tiles(setting: str, rate: float) -> None:
    strong = {"blur_sigma": [1.0, 2.0], "stain": 0.05}
    module = only(**(strong | {"stain_p": 0.0} | {setting: rate}))
    view, _ = drawn(module, stacked([noise(32)]).expand(1000, -1, -1, -1))
    share = ((view - floats([noise(32)])).abs().amax((1, 2, 3)) > 1e-3).float().mean()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 1000) ** 0.5)


def test_grey_tiles_are_grey_and_the_others_are_not() -> None:
    view, _ = drawn(only(grey_p=0.5), stacked([noise(32)]).expand(200, -1, -1, -1))
    spread = (view.amax(1) - view.amin(1)).amax((1, 2))
    assert ((spread == 0) | (spread > 0.5)).all()


def test_crops_are_those_of_the_published_recipe() -> None:
    # A pixel's colour is its position, so a view says which rectangle it shows.
    y, x = np.mgrid[:256, :256].astype(np.uint8)
    tile = torch.from_numpy(np.stack([x, y, x * 0], 2))
    view, _ = drawn(only(crop_scale=[0.2, 1.0]), tile.expand(2000, -1, -1, -1))
    shown = (view * 255).numpy()
    inner = 32 / (27 - 4)  # whole view from the distance of two columns inside
    widths = (shown[:, 0, 16, 27] - shown[:, 0, 16, 4]) * inner
    heights = (shown[:, 1, 27, 16] - shown[:, 1, 4, 16]) * inner
    tops = (shown[:, 1, 27, 16] + shown[:, 1, 4, 16] - heights) / 2 + 0.5 + (4 + 27 - 31) / 64 * heights
    ratio, whole = [3 / 4, 4 / 3], torch.zeros(3, 256, 256)
    boxes = np.array([RandomResizedCrop.get_params(whole, [0.2, 1.0], ratio) for _ in range(2000)]).T
    jiggle = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 2000))  # whole pixels against measured ones
    top, _, height, width = boxes + 0.01 * jiggle
    assert stats.ks_2samp(widths * heights, height * width).pvalue > 1e-3
    assert stats.ks_2samp(widths / heights, width / height).pvalue > 1e-3
    assert stats.ks_2samp(np.clip(tops, 0, None).round(), top.round()).pvalue > 1e-3


def by_pillow(image: Image.Image, draw: Draw, index: int, px: int) -> Image.Image:
    """The published operations with given numbers."""
    image = F.resized_crop(image, *draw.box[index].tolist(), (px, px))
    if draw.jittered[index]:
        for which in draw.order:
            image = PILLOW[which](image, draw.jitter[index, which].item())
    if draw.greyed[index]:
        image = F.rgb_to_grayscale(image, 3)
    if draw.blurred[index]:
        image = image.filter(ImageFilter.GaussianBlur(draw.sigma[index].item()))
    return F.hflip(image) if draw.flip[index, 1] else image


@pytest.mark.parametrize("px", [40, 64, 80])
def test_views_are_what_pillow_makes_of_the_same_draws(px: int) -> None:
    config, images = tiny_config("clubyol-paper", tile_px=px), he_tiles(40, 64)
    module, tiles = Views(config, *BARE), stacked(images)
    for seed in range(5):
        view, _ = drawn(module, tiles, seed)
        torch.manual_seed(seed)
        draw = Draw.make(config, len(images), 64)
        theirs = [by_pillow(image, draw, index, px) for index, image in enumerate(images)]
        apart = levels(view, theirs).abs().mean((1, 2, 3))
        assert apart.max() < 4  # up to eight roundings, some of them cut off
        assert apart.mean() < 1.5


def statistics(view: Tensor) -> npt.NDArray[np.float64]:
    """Of each tile: mean and deviation of the colours, saturation, sharpness; [B, 8]."""
    colours = torch.cat([view.mean((2, 3)), view.std((2, 3))], 1)
    vivid = (view.amax(1) - view.amin(1)).mean((1, 2))
    sharp = (view[..., 1:] - view[..., :-1]).abs().mean((1, 2, 3)).clamp(min=1e-4).log()
    return torch.cat([colours, vivid[:, None], sharp[:, None]], 1).double().numpy()


def compare(images: list[Image.Image], each: int) -> None:
    config = tiny_config("clubyol-paper", tile_px=48)
    torch.manual_seed(3)
    recipe = TwoViews(config, *BARE)
    theirs = statistics(torch.stack([v for image in images for _ in range(each) for v in recipe(image)]))
    module, tiles = Views(config, *BARE), stacked(images)
    # one batch has one order of the colour operations: many small ones
    ours = statistics(torch.cat([view for _ in range(each) for view in module(tiles)]))
    for one, other in zip(ours.T, theirs.T, strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-3 / ours.shape[1]
        # Pillow's cutting off of fractions makes its views about a level darker
        error = (one.var() / len(one) + other.var() / len(other)) ** 0.5
        assert one.mean() == pytest.approx(other.mean(), abs=4 * error + 1.5 / 255)
        assert one.std() == pytest.approx(other.std(), rel=0.12)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.15)


def test_views_have_the_distribution_of_the_published_ones() -> None:
    compare(he_tiles(4, 64), 100)


def test_views_of_real_tiles_have_the_distribution_of_the_published_ones(shared_data: Any) -> None:
    paths = sorted((shared_data / "tiles").glob("*/*.jpg"))
    compare([Image.open(path).convert("RGB") for path in paths[::620]], 80)


def test_parts_of_a_batch_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    module, tiles = Views(tiny_config(**EVERYTHING), MEAN, STD), stacked(he_tiles(7, 40))
    whole = drawn(module, tiles)
    for pixels in (1, 3 * 40**2):
        monkeypatch.setattr(views, "CPU_PIXELS", pixels)
        for one, other in zip(drawn(module, tiles), whole, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_mixed_precision_of_the_training_does_not_reach_it() -> None:
    module, tiles = Views(tiny_config(**EVERYTHING), MEAN, STD), stacked(he_tiles(4, 40))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = drawn(module, tiles)
    assert torch.equal(mixed[0], drawn(module, tiles)[0])


@pytest.mark.gpu
def test_a_seed_gives_the_same_views_on_every_device() -> None:
    module, tiles = Views(tiny_config(**EVERYTHING), MEAN, STD), stacked(he_tiles(7, 40))
    on_cpu = drawn(module, tiles)
    torch.cuda.set_sync_debug_mode("error")
    try:
        on_gpu = drawn(module.cuda(), tiles.cuda())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one, other in zip(on_cpu, on_gpu, strict=True):
        torch.testing.assert_close(one, other.cpu(), atol=1e-3, rtol=0)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 128, 254, 255, None]),
    st.integers(1, 3),
    st.sampled_from([32, 33, 80]),
)
def test_values_are_colours_whatever_is_drawn(seed: int, level: int | None, batch: int, side: int) -> None:
    tile = noise(side, seed % 100) if level is None else Image.new("RGB", (side, side), (level, 0, 255))
    strongest = tiny_config(
        crop_scale=[0.01, 1.0], jitter=[1.0, 1.0, 1.0, 0.5], jitter_p=0.9, grey_p=0.3, blur_sigma=[0.0, 9.0],
        blur_p=0.7, stain=1.0, stain_p=0.7, vflip_p=0.5,
    )  # fmt: skip
    for view in drawn(Views(strongest, *BARE), stacked([tile] * batch), seed):
        assert torch.isfinite(view).all()
        assert view.min() >= -1e-6
        assert view.max() <= 1 + 1e-5


@pytest.mark.parametrize(
    "tiles",
    [torch.zeros(2, 32, 32, 3), torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(32, 32, 3).byte(),
     torch.zeros(2, 32, 40, 3).byte()],
)  # fmt: skip
def test_what_is_no_batch_of_tiles_is_refused(tiles: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected tiles uint8 \[B, S, S, 3\], got torch"):
        Views(tiny_config(), MEAN, STD)(tiles)


def test_statistics_of_the_data_are_not_in_checkpoints() -> None:
    assert Views(tiny_config(), MEAN, STD).state_dict() == {}


def test_pixels_of_a_view() -> None:
    """A view of the whole tile, without other changes, is the tile."""
    tiles = stacked(he_tiles(3, 32))
    module = Views(tiny_config(**PLAIN), MEAN, STD, 1)
    (view,) = module(tiles)
    pixels = module.pixels(view)
    assert (pixels.dtype, pixels.shape) == (torch.uint8, tiles.shape)
    assert (pixels.int() - tiles.int()).abs().max() <= 1
    beyond = (module.pixels(torch.full_like(view, value)) for value in (-1e3, 1e3))
    assert [torch.unique(levels).tolist() for levels in beyond] == [[0], [255]]


def test_local_crops_follow_the_views() -> None:
    config = tiny_config("dino", local_crops=3, local_px=16, local_scale=[0.05, 0.1], crop_scale=[0.9, 1.0])
    tiles = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    tiles[:, 32:] = 255
    found = Views(config, *BARE)(tiles)
    assert [view.shape[-1] for view in found] == [32, 32, 16, 16, 16]
    assert all(view.std() > 0.3 for view in found[:2]), "large crops show both halves"
    small = torch.cat([view for seed in range(5) for view in drawn(Views(config, *BARE), tiles, seed)[2:]])
    assert (small.flatten(1).std(dim=1) < 0.01).float().mean() > 0.3, "small ones often one of them"
