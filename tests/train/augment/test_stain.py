from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.train.augment.made import floats, he_tiles, noise
from wsi_embed_train.augment.stain import mixing, stain, stain_vectors

H, E = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])
H, E = H / np.linalg.norm(H), E / np.linalg.norm(E)
R = np.cross(H, E) / np.linalg.norm(np.cross(H, E))


def changed(
    pixel: npt.NDArray[np.float64], factor: list[float], shift: list[float]
) -> npt.NDArray[np.float64]:
    """One pixel by the definition: unmix the density, change the concentrations, mix."""
    density = -np.log10(np.clip(pixel, 1 / 255, 1))
    amounts = np.linalg.solve(np.stack([H, E, R], 1), density)
    again = sum(v * (f * a + s) for v, f, a, s in zip((H, E, R), factor, amounts, shift, strict=True))
    return np.asarray(np.clip(10.0**-again, 0, 1))


def test_vectors_are_ruifroks_and_what_is_left() -> None:
    np.testing.assert_allclose(stain_vectors(), [H, E, R], atol=1e-12)
    np.testing.assert_allclose(stain_vectors()[:2] @ stain_vectors()[2], 0, atol=1e-12)


def test_stain_is_that_of_the_definition_each_tile_by_its_change() -> None:
    tiles = floats([*he_tiles(2, 16), noise(16)])
    change = torch.tensor(
        [
            [[1.1, 0.9, 1.0], [0.02, -0.03, 0.01]],
            [[1, 1, 1], [0.1, 0, 0]],
            [[0.8, 1.2, 0.9], [-0.1, 0.1, 0.1]],
        ]
    )
    ours = stain(tiles, mixing(change))
    for view, tile, (factor, shift) in zip(ours, tiles.double().numpy(), change.tolist(), strict=True):
        expected = np.apply_along_axis(changed, 0, tile, factor, shift)
        np.testing.assert_allclose(view, expected, atol=2e-5)


def test_no_change_changes_nothing() -> None:
    tiles = floats([noise(16)])
    still = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])
    torch.testing.assert_close(stain(tiles, mixing(still)), tiles.clamp(min=1 / 255), atol=1e-6, rtol=0)


@given(st.tuples(*[st.floats(0, 2)] * 3))
def test_white_stays_white_whatever_the_factors(factors: tuple[float, float, float]) -> None:
    white = torch.ones(1, 3, 2, 2)
    change = torch.tensor([[factors, (0.0, 0.0, 0.0)]])
    assert torch.equal(stain(white, mixing(change)), white)


@given(st.tuples(*[st.floats(-0.05, 0.05)] * 3))
def test_white_changes_no_more_than_the_shifts(shifts: tuple[float, float, float]) -> None:
    change = torch.tensor([[(1.0, 1.0, 1.0), shifts]])
    # three vectors of length one, each shifted by 0.05 at most
    assert stain(torch.ones(1, 3, 2, 2), mixing(change)).min() >= 10 ** -(0.05 * 3**0.5 * 1.5)


def test_more_haematoxylin_is_more_of_its_own_colour() -> None:
    amounts = torch.linspace(0, 1, 9)
    nuclei = 10 ** -(amounts[:, None] * torch.tensor(H)).float()
    change = torch.tensor([[(1.5, 0.2, 3.0), (0.0, 0.0, 0.0)]])
    more = stain(nuclei.T.reshape(1, 3, 3, 3), mixing(change)).view(3, 9).T
    torch.testing.assert_close(
        more, 10 ** -(1.5 * amounts[:, None] * torch.tensor(H)).float(), atol=1e-5, rtol=0
    )


@given(
    st.lists(st.sampled_from([0.0, 1 / 255, 0.5, 1.0]), min_size=12, max_size=12),
    st.lists(st.floats(0, 2), min_size=3, max_size=3),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
)
def test_colours_stay_colours(values: list[float], factors: list[float], shifts: list[float]) -> None:
    ours = stain(torch.tensor(values).view(1, 3, 2, 2), mixing(torch.tensor([[factors, shifts]])))
    assert torch.isfinite(ours).all()
    assert ours.min() >= 0
    assert ours.max() <= 1
