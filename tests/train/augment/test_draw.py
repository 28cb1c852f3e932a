from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from tests.made_models import tiny_config
from wsi_embed_train.augment.draw import Draw, boxes

DRAWS = 4000


def drawn(seed: int = 0, batch: int = DRAWS, side: int = 64, **settings: Any) -> Draw:
    torch.manual_seed(seed)
    return Draw.make(tiny_config(**settings), batch, side)


def close_to(rate: float, count: int = DRAWS) -> Any:
    """Four standard deviations of a rate."""
    return pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / count))


def described(found: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Area, aspect, top, left, bottom."""
    top, left, height, width = found.T
    return [height * width, width / height, top, left, top + height]


@pytest.mark.parametrize(("side", "scale"), [(224, (0.2, 1.0)), (64, (0.05, 0.4)), (97, (0.9, 1.0))])
def test_boxes_have_the_distribution_of_torchvisions(side: int, scale: tuple[float, float]) -> None:
    torch.manual_seed(1)
    ours = boxes(2000, side, scale).numpy()
    tile, ratio = torch.zeros(3, side, side), [3 / 4, 4 / 3]
    theirs = np.array([RandomResizedCrop.get_params(tile, list(scale), ratio) for _ in range(2000)])
    for one, other in zip(described(ours), described(theirs), strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-3


@pytest.mark.parametrize("scale", [(0.01, 1.0), (0.2, 1.0), (0.99, 1.0)])
def test_boxes_lie_in_the_tile_and_reach_its_edges(scale: tuple[float, float]) -> None:
    torch.manual_seed(0)
    top, left, height, width = boxes(20_000, 32, scale).unbind(1)
    assert min(top.min(), left.min()) == 0
    assert min(height.min(), width.min()) >= 1
    assert (top + height).max() == (left + width).max() == 32


def test_box_that_never_fits_is_the_whole_tile() -> None:
    # area 1 fits with aspect 1 alone: at 224 pixels few of ten tries round to it
    found = boxes(500, 224, (1.0, 1.0))
    assert (found == torch.tensor([0, 0, 224, 224])).all()


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_probabilities(rate: float) -> None:
    draw = drawn(flip_p=rate, vflip_p=rate, jitter_p=rate, grey_p=rate, blur_p=rate, stain_p=rate, stain=0.1)
    for chosen in (*draw.flip.unbind(1), draw.jittered, draw.greyed, draw.blurred, draw.stained):
        assert chosen.float().mean().item() == close_to(rate)


def test_published_recipe_has_neither_stain_nor_vertical_flip() -> None:
    torch.manual_seed(0)
    draw = Draw.make(tiny_config("clubyol-paper"), DRAWS, 64)
    assert not draw.stained.any()
    assert not draw.flip[:, 0].any()
    assert draw.flip[:, 1].float().mean().item() == close_to(0.5)


def test_numbers_are_uniform_in_their_range() -> None:
    draw = drawn(jitter=[0.4, 0.3, 1.0, 0.1], blur_sigma=[0.1, 2.0], stain=0.05)
    for column, low, high in (
        (draw.jitter[:, 0], 0.6, 1.4),
        (draw.jitter[:, 1], 0.7, 1.3),
        (draw.jitter[:, 2], 0.0, 2.0),
        (draw.jitter[:, 3], -0.1, 0.1),
        (draw.sigma, 0.1, 2.0),
        *((draw.stain[:, 0, stain], 0.95, 1.05) for stain in range(3)),
        *((draw.stain[:, 1, stain], -0.05, 0.05) for stain in range(3)),
    ):
        assert stats.kstest(column.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_every_tile_and_number_is_drawn_by_itself() -> None:
    draw = drawn(stain=0.05, stain_p=0.5, vflip_p=0.5, flip_p=0.5, grey_p=0.5, jitter_p=0.5, blur_p=0.5)
    columns = [draw.box, draw.flip, draw.stain.flatten(1), draw.jitter, draw.sigma[:, None]]
    columns += [chosen[:, None] for chosen in (draw.stained, draw.jittered, draw.greyed, draw.blurred)]
    values = torch.cat([c.double() for c in columns], 1)
    values[:, :2] += values[:, 2:4] / 2  # a box's centre does not follow from its size, its corner does
    between = np.corrcoef(values.numpy().T) - np.eye(values.shape[1])
    between[2, 3] = between[3, 2] = 0  # a box's height and width
    assert np.abs(between).max() < 5 / math.sqrt(DRAWS)
    neighbours = [np.corrcoef(c[:-1], c[1:])[0, 1] for c in values.numpy().T]
    assert np.abs(neighbours).max() < 5 / math.sqrt(DRAWS)


def test_every_order_of_the_colour_operations_is_as_likely() -> None:
    torch.manual_seed(0)
    config = tiny_config()
    counts = Counter(tuple(Draw.make(config, 1, 32).order) for _ in range(1200))
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_colour_operations_of_no_strength_are_left_out() -> None:
    assert sorted(drawn(jitter=[0.4, 0.0, 0.4, 0.0]).order) == [0, 2]


def test_switching_one_off_leaves_the_others() -> None:
    one, other = drawn(stain=0.05), drawn(stain=0.0, blur_p=0.0, jitter_p=0.0, jitter=[0.4, 0.4, 0.4, 0.0])
    assert torch.equal(one.box, other.box)
    assert torch.equal(one.flip, other.flip)
    assert torch.equal(one.greyed, other.greyed)
    assert torch.equal(one.sigma, other.sigma)
    assert [which for which in one.order if which != 3] == other.order


def test_part_of_a_batch() -> None:
    draw = drawn(batch=10)
    part = draw[3:7]
    assert torch.equal(part.box, draw.box[3:7])
    assert torch.equal(part.stain, draw.stain[3:7])
    assert part.order == draw.order
