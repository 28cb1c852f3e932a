"""Pen marks and darkness: made ink and folds on real tissue, and no false alarms on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.made_tissue import INKS
from tests.quality.test_focus import TISSUE, cut
from wsi_embed.quality.colours import balanced, block_colours, blocks_across, darkness, pen_shares
from wsi_embed.tissue.glass import NEUTRAL

UInt8Array = npt.NDArray[np.uint8]


def blocks_of(*tiles: UInt8Array) -> UInt8Array:
    blocks = np.stack([block_colours(tile, blocks_across(tile.shape[0], 0.5)) for tile in tiles])
    return balanced(blocks, NEUTRAL)


def through(tile: UInt8Array, light: Sequence[float] | UInt8Array, share: float = 0.5) -> UInt8Array:
    """A tile whose left part is seen through ink, or through as much tissue again."""
    changed, width = tile.astype(np.float64), round(share * tile.shape[1])
    factor = light[:, :width] / 255 if isinstance(light, np.ndarray) else np.array(light)
    changed[:, :width] *= factor
    return np.asarray(changed.clip(0, 255), np.uint8)


@pytest.fixture(scope="module")
def tissue() -> list[UInt8Array]:
    return cut(np.asarray(Image.open(TISSUE).convert("RGB")))[:40]


@pytest.mark.parametrize(
    ("px", "mpp", "across"),
    [(224, 0.5, 14), (224, 0.25, 7), (256, 1.0, 32), (8, 0.25, 1), (224, 8.0, 32), (16, 20.0, 16)],
)
def test_blocks_have_about_the_size_of_a_nucleus(px: int, mpp: float, across: int) -> None:
    assert blocks_across(px, mpp) == across


@pytest.mark.parametrize("ink", [name for name in INKS if name != "black"])
def test_ink_over_glass_and_tissue_is_found(tissue: list[UInt8Array], ink: str) -> None:
    glass = np.full((224, 224, 3), 243, np.uint8)
    assert pen_shares(blocks_of(through(glass, INKS[ink])))[0] == pytest.approx(0.5)
    if ink != "orange":  # over dark tissue it is as brown as DAB
        over = pen_shares(blocks_of(*(through(tile, INKS[ink]) for tile in tissue)))
        assert np.median(over) >= 0.35


def test_black_ink_is_dark_and_no_pen(tissue: list[UInt8Array]) -> None:
    inked = blocks_of(*(through(tile, INKS["black"]) for tile in tissue))
    assert (darkness(inked) > 1.0).all()
    assert pen_shares(inked).max() < 0.1


def test_stained_tissue_is_no_pen_and_not_too_dark(tissue: list[UInt8Array]) -> None:
    plain = blocks_of(*tissue)
    assert (pen_shares(plain) < 0.05).all()
    assert (darkness(plain) < 0.9).all()


def test_a_fold_doubles_the_density(tissue: list[UInt8Array]) -> None:
    """Where tissue lies twice, light is absorbed twice."""
    plain = blocks_of(*tissue)
    folded = blocks_of(*(through(tile, tile, 0.25) for tile in tissue))
    ratio = darkness(folded) / darkness(plain)
    assert np.median(ratio) > 1.35
    assert (ratio >= 0.999).all()


@given(arrays(np.uint8, (3, 4, 5, 3)))
def test_darkness_is_the_density_that_a_tenth_exceeds(blocks: UInt8Array) -> None:
    density = -np.log10(np.maximum(blocks.astype(np.float64), 0.5) / 255).mean(-1).reshape(3, -1)
    expected = np.sort(density, axis=1)[:, -3]  # two of twenty are darker
    np.testing.assert_allclose(darkness(blocks), expected, rtol=1e-5, atol=1e-6)


@given(arrays(np.uint8, (4, 3, 3, 3)))
def test_tiles_of_a_batch_do_not_depend_on_each_other(blocks: UInt8Array) -> None:
    for measure in (pen_shares, darkness):
        together = measure(blocks)
        assert together.tolist() == [measure(blocks[i : i + 1])[0] for i in range(4)]
        assert (together >= 0).all()


@pytest.mark.parametrize("grey", [0, 1, 255])
def test_black_and_white_have_finite_densities(grey: int) -> None:
    found = darkness(np.full((1, 2, 2, 3), grey, np.uint8))[0]
    assert found == pytest.approx(-np.log10(max(grey, 0.5) / 255), abs=1e-6)


def test_the_cast_of_a_camera_is_no_pen(tissue: list[UInt8Array]) -> None:
    """Under a greenish lamp, colours count relative to the glass."""
    lamp = (0.8, 1.0, 0.78)
    seen = np.stack([block_colours(through(tile, lamp, 1.0), 14) for tile in tissue])
    glass = (243 * 0.8, 243.0, 243 * 0.78)
    assert pen_shares(balanced(seen, glass)).max() < 0.05
    np.testing.assert_allclose(darkness(balanced(seen, glass)), darkness(blocks_of(*tissue)), atol=0.02)


def test_real_tiles_raise_few_false_alarms(shared_data: Path) -> None:
    """No tile of these has pen or folds; some are photographs whose camera had a blue cast."""
    files = [
        file for folder in sorted((shared_data / "tiles").iterdir()) for file in sorted(folder.iterdir())
    ]
    chosen = [files[i] for i in np.random.default_rng(0).permutation(len(files))[:250]]
    blocks = blocks_of(*(np.asarray(Image.open(file).convert("RGB")) for file in chosen))
    assert (pen_shares(blocks) < 0.1).mean() > 0.97
    assert (darkness(blocks) < 0.9).mean() > 0.99
