"""Position embeddings, fitted to a network with another grid."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.weights.positions import fitted

layers = pytest.importorskip("timm.layers")

CLASS = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(3))


def embedding(count: int, width: int = 8) -> Tensor:
    return torch.randn(1, count, width, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize(
    ("theirs", "mine", "prefix", "old", "new"),
    [
        (1 + 37**2, 1 + 16**2, 1, 37, 16),  # DINOv2 at 518 px for 224 px
        (1 + 10**2, 1 + 4**2, 1, 10, 4),
        (7**2, 14**2, 0, 7, 14),
        (5 + 6**2, 5 + 8**2, 5, 6, 8),
    ],
)
def test_another_grid_is_resampled_as_timm_does_it(
    theirs: int, mine: int, prefix: int, old: int, new: int
) -> None:
    state = {"pos_embed": embedding(theirs), "norm.bias": torch.ones(8)}
    found, notes = fitted(state, {"pos_embed": torch.zeros(1, mine, 8)})
    expected = layers.resample_abs_pos_embed(
        state["pos_embed"], new_size=[new, new], old_size=[old, old], num_prefix_tokens=prefix
    )
    torch.testing.assert_close(found["pos_embed"], expected)
    assert found["norm.bias"] is state["norm.bias"]
    assert notes == (f"pos_embed resampled from {old} x {old} to {new} x {new} patches",)


def test_the_position_of_the_class_token_joins_the_token_if_the_network_has_none_for_it() -> None:
    state = {"pos_embed": embedding(1 + 37**2), "cls_token": CLASS}
    found, _ = fitted(state, {"pos_embed": torch.zeros(1, 16**2, 8)})
    assert found["pos_embed"].shape == (1, 16**2, 8)
    torch.testing.assert_close(found["cls_token"], CLASS + state["pos_embed"][:, :1])
    same, notes = fitted(
        {"pos_embed": embedding(1 + 16**2), "cls_token": CLASS}, {"pos_embed": embedding(16**2)}
    )
    torch.testing.assert_close(same["pos_embed"], embedding(1 + 16**2)[:, 1:])
    assert notes == ()


@pytest.mark.parametrize(
    "theirs",
    [
        embedding(1 + 16**2),  # the same grid
        embedding(3),  # no square grid
        embedding(1 + 10**2, 4),  # another width
        embedding(1 + 10**2).to(torch.complex64),
        embedding(1 + 10**2).to_sparse(),
        embedding(1 + 10**2)[0],
    ],
    ids=["same", "not square", "width", "complex", "sparse", "2-D"],
)
def test_anything_else_stays_as_it_is(theirs: Tensor) -> None:
    found, notes = fitted({"pos_embed": theirs}, {"pos_embed": torch.zeros(1, 1 + 16**2, 8)})
    assert found["pos_embed"] is theirs
    assert notes == ()


def test_a_network_for_other_images_computes_what_timm_computes_with_the_same_weights() -> None:
    torch.manual_seed(0)
    net, _ = make_backbone("test_vit", dynamic_img_size=True)
    other, _ = make_backbone("test_vit@64")
    state, _ = fitted(net.state_dict(), other.state_dict())
    other.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(other.eval()(images), net.eval()(images), atol=1e-5, rtol=1e-5)
