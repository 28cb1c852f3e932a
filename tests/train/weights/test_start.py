"""Trainings that start from the weights of a file."""

from __future__ import annotations

import math
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.made_models import TINY_BACKBONE, tiny_config
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import Stopped, UsageError
from wsi_embed_export import export
from wsi_embed_train import Listener, train
from wsi_embed_train.backbones import make_backbone

MEAN, STD = [0.7, 0.5, 0.6], [0.2, 0.25, 0.2]
FROZEN = {"mean": MEAN, "std": STD, "freeze": "2"}


class Lines(Listener):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def warned(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "start.pt"
    net, _ = make_backbone(TINY_BACKBONE)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_mean").uniform_(-0.1, 0.1)
            module.get_buffer("running_var").uniform_(0.5, 1.5)
    torch.save(net.state_dict(), path)
    return path


def load(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def backbone_of(run: Path, part: str = "encoder") -> dict[str, torch.Tensor]:
    prefix = f"network.{part}.backbone."
    state = load(run)["state_dict"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def adapted(tiles: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "adapted"
    train(tiles, run, tiny_config(**FROZEN), init=weights, init_licence="Apache-2.0", listener=Lines())
    return run


def test_frozen_stages_keep_the_weights_and_the_others_move(adapted: Path, weights: Path) -> None:
    start = torch.load(weights, weights_only=True)
    for part in ("encoder", "target"):
        for name, tensor in backbone_of(adapted, part).items():
            frozen = name.startswith(("conv1", "bn1", "layer1", "layer2"))
            if frozen and not name.endswith("num_batches_tracked"):
                assert torch.equal(tensor, start[name]), f"{part}.{name}"
    moved = backbone_of(adapted)["layer4.0.conv1.weight"]
    assert not torch.equal(moved, start["layer4.0.conv1.weight"])
    assert (moved - start["layer4.0.conv1.weight"]).norm() < 0.2 * moved.norm()


def test_run_and_exported_model_record_the_weights(adapted: Path, weights: Path, tmp_path: Path) -> None:
    data = load(adapted)["wsi_embed"]["data"]
    assert data["init"]["weights"].startswith("start.pt sha256:")
    assert (data["init"]["licence"], data["init"]["tensors"]) == (
        "Apache-2.0",
        data["init"]["tensors_of_backbone"],
    )
    assert (data["mean"], data["std"]) == (MEAN, STD)
    metadata = export(adapted, tmp_path / "m.ts")
    assert metadata.training["init"] == data["init"]
    assert (metadata.licence, metadata.mean) == ("Apache-2.0", tuple(MEAN))
    assert load_encoder(tmp_path / "m.ts", device="cpu", mpp=0.5).metadata.licence == "Apache-2.0"
    assert export(adapted, tmp_path / "n.ts", licence="mine").licence == "mine"


def test_a_run_is_a_start_with_its_own_normalisation(adapted: Path, tiles: Path, tmp_path: Path) -> None:
    lines = Lines()
    train(tiles, tmp_path / "again", tiny_config(epochs=1, freeze="all"), init=adapted, listener=lines)
    before, after = backbone_of(adapted), backbone_of(tmp_path / "again")
    counted = {name for name in before if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(after[name], before[name]) for name in counted)
    assert load(tmp_path / "again")["wsi_embed"]["data"]["mean"] == MEAN
    assert lines.notes[0].startswith("starts from adapted/last.ckpt sha256:")
    assert lines.warnings == []


def test_interrupted_run_goes_on_without_the_file(tiles: Path, weights: Path, tmp_path: Path) -> None:
    config = tiny_config(epochs=3, optimizer="adamw", layer_decay=0.5, **FROZEN)
    train(tiles, tmp_path / "whole", config, init=weights)
    stop = threading.Event()

    class Stop(Listener):
        def step_done(self, step: int) -> None:
            if step == 2:
                stop.set()

    with pytest.raises(Stopped):
        train(tiles, tmp_path / "cut", config, init=weights, listener=Stop(), stop=stop)
    train(tiles, tmp_path / "cut", config, resume=True)
    one, other = load(tmp_path / "whole"), load(tmp_path / "cut")
    assert one["wsi_embed"]["data"] == other["wsi_embed"]["data"]
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name]), name


def test_resuming_from_other_weights_is_refused(adapted: Path, finished_run: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match=r"started from start\.pt sha256:\w+, not from last\.ckpt sha256:"):
        train(tiles, adapted, tiny_config(**FROZEN), init=finished_run, resume=True)
    with pytest.raises(UsageError, match="started from random weights, not from"):
        train(tiles, finished_run, tiny_config(epochs=3), init=adapted, resume=True)


def test_run_of_an_earlier_version_can_be_resumed(finished_run: Path, tiles: Path, tmp_path: Path) -> None:
    content = load(finished_run)
    for name in ("mean", "std", "init_share", "freeze", "layer_decay", "optimizer"):
        del content["wsi_embed"]["config"][name]
    (tmp_path / "old" / "checkpoints").mkdir(parents=True)
    torch.save(content, tmp_path / "old" / "checkpoints" / "last.ckpt")
    shutil.copy(finished_run / "metrics.csv", tmp_path / "old")
    train(tiles, tmp_path / "old", tiny_config(epochs=3), resume=True)
    with pytest.raises(UsageError, match="was trained with optimizer = sgd, not adamw"):
        train(tiles, tmp_path / "old", tiny_config(epochs=3, optimizer="adamw"), resume=True)


def test_unknown_normalisation(tiles: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not tell the normalisation .* frozen weights cannot adapt"):
        train(tiles, tmp_path / "a", tiny_config(freeze="1"), init=weights)
    lines = Lines()
    train(tiles, tmp_path / "b", tiny_config(epochs=1), init=weights, listener=lines)
    (warning,) = lines.warnings
    assert (
        "that of the training tiles is used; give it, such as ImageNet's `mean=(0.485, 0.456, 0.406)`"
        in warning
    )


def test_freezing_untrained_weights_is_refused(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="untrained weights would be frozen; give trained ones"):
        train(tiles, tmp_path / "a", tiny_config(freeze="all"))
    assert not (tmp_path / "a").exists()


def test_adamw_learns(tiles: Path, tmp_path: Path) -> None:
    run = train(
        tiles, tmp_path / "run", tiny_config("simsiam", optimizer="adamw", lr=0.01, epochs=1)
    ).parents[1]
    states = load(run)["optimizer_states"][0]["state"]
    assert all({"exp_avg", "exp_avg_sq"} <= state.keys() for state in states.values())
    assert all(math.isfinite(state["exp_avg_sq"].sum()) for state in states.values())


def test_what_has_no_weights_is_not_frozen(tiles: Path, weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({k: v for k, v in state.items() if not k.startswith("layer1")}, tmp_path / "part.pt")
    config = tiny_config(**(FROZEN | {"init_share": 0.5}))
    with pytest.raises(UsageError, match=r"the weights do not have what would be frozen: layer1\.0"):
        train(tiles, tmp_path / "run", config, init=tmp_path / "part.pt")


def test_frozen_modules_are_told(tiles: Path, adapted: Path, tmp_path: Path) -> None:
    lines = Lines()
    config = tiny_config(epochs=1, freeze="2")
    train(tiles, tmp_path / "run", config, init=adapted, listener=lines)
    assert lines.notes[0].startswith("starts from adapted/last.ckpt sha256:")
    assert lines.notes[1].startswith("frozen: conv1, bn1, layer1, layer2 (")
    data = load(tmp_path / "run")["wsi_embed"]["data"]
    assert data["init"]["licence"] == "Apache-2.0", "that of the weights the first run started from"
    assert data["init"]["of_run"]["init"]["weights"].startswith("start.pt sha256:")


def test_licence_without_weights_or_against_the_record(tiles: Path, adapted: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no weights with this licence"):
        train(tiles, tmp_path / "run", tiny_config(), init_licence="MIT")
    with pytest.raises(UsageError, match=r"records the licence 'Apache-2\.0' of its initial weights"):
        train(tiles, adapted, tiny_config(**FROZEN), init_licence="MIT", resume=True)
