from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from tests.made_models import TINY_BACKBONE, tiny_config
from tests.train.methods.made import TEACHER, small
from wsi_embed.errors import UsageError
from wsi_embed_train import build_method
from wsi_embed_train.methods import METHODS, Method, method_settings
from wsi_embed_train.methods.clubyol import CluBYOL

RECIPES = [*METHODS, "clubyol-paper"]


def groups(method: Method) -> list[dict[str, object]]:
    return method.parameter_groups(1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_groups_hold_every_learned_parameter_once(recipe: str) -> None:
    method = small(Method, recipe, 3, backbone=TINY_BACKBONE)  # type: ignore[type-abstract]
    learned = sorted(id(p) for p in method.parameters() if p.requires_grad)
    for exclude in (False, True):
        found = [id(p) for g in method.parameter_groups(1e-4, exclude_norm_bias=exclude) for p in g["params"]]
        assert sorted(found) == learned


def test_published_recipe_has_one_group() -> None:
    (group,) = groups(small(CluBYOL, "clubyol-paper"))
    assert (group["weight_decay"], group["fixed_lr"], group["lr_factor"]) == (1e-4, False, 1.0)


def test_norms_and_biases_are_excluded_by_what_they_are() -> None:
    method = small(CluBYOL, "clubyol")
    norms = [m for m in method.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.affine]
    expected = {id(p) for norm in norms for p in norm.parameters()}
    expected |= {id(m.bias) for m in method.modules() if isinstance(m, nn.Linear) and m.bias is not None}
    expected &= {id(p) for p in method.parameters() if p.requires_grad}
    free = [g for g in method.parameter_groups(1e-4, exclude_norm_bias=True) if g["weight_decay"] == 0]
    assert {id(p) for g in free for p in g["params"]} == expected
    assert len(expected) > 40


@pytest.mark.parametrize(("fix", "factor"), [(True, 1.0), (False, 10.0), (True, 0.5)])
def test_predictor_has_its_own_rate(fix: bool, factor: float) -> None:
    method = small(CluBYOL, "clubyol-paper", fix_pred_lr=fix, predictor_lr=factor)
    own = [g for g in method.parameter_groups(1e-4) if (g["fixed_lr"], g["lr_factor"]) == (fix, factor)]
    assert {id(p) for g in own for p in g["params"]} == {id(p) for p in method.predictor.parameters()}


def test_cluster_head_has_its_own_rate() -> None:
    method = small(CluBYOL, "clubyol", cluster_lr=7.0)
    own = [g for g in method.parameter_groups(1e-4) if g["lr_factor"] == 7.0]
    head = [*method.cluster_projector.parameters(), *method.cluster_assigner.parameters()]
    assert {id(p) for g in own for p in g["params"]} == {id(p) for p in head}


@pytest.mark.parametrize("method", list(METHODS))
def test_every_setting_of_a_method_is_documented(method: str) -> None:
    text = inspect.getdoc(METHODS.get(method)) or ""
    assert all(f"    {name}: " in text for name in method_settings(method))


def test_a_backbone_that_does_not_take_the_tiles_is_said_before_the_run() -> None:
    config = tiny_config("simclr", backbone="vit_b_32", tile_px=96)
    with pytest.raises(UsageError, match=r"vit_b_32 does not take tiles of 96 pixels .*`tile_px=224`"):
        build_method("simclr", vars(config))


@pytest.mark.parametrize("recipe", RECIPES)
def test_state_goes_through_weights_only(recipe: str, tmp_path: object) -> None:
    method = small(Method, recipe, 3, backbone=TINY_BACKBONE)  # type: ignore[type-abstract]
    path = f"{tmp_path}/state.pt"
    torch.save(method.state_dict(), path)
    config = tiny_config(recipe)
    other = build_method(config.method, vars(config), 3, TEACHER)
    other.load_state_dict(torch.load(path, weights_only=True))
    assert all(
        torch.equal(a, b)
        for a, b in zip(method.state_dict().values(), other.state_dict().values(), strict=True)
    )
