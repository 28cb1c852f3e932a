from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.made_models import tiny_config, tiny_tiles
from wsi_embed.errors import DeviceError, UsageError
from wsi_embed_train import TrainConfig, train
from wsi_embed_train.data import TileDataset
from wsi_embed_train.fit import Training
from wsi_embed_train.methods import METHODS
from wsi_embed_train.methods.clubyol import CluBYOL

DATA: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.2,) * 3, "tiles": 16, "source": "none"}


def load(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="session")
def resumed_run(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted (as by Ctrl-C) within its third epoch and then resumed."""
    run = tmp_path_factory.mktemp("runs") / "interrupted"
    config = tiny_config(epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, image=2 * 16 + 4)
        with pytest.raises(KeyboardInterrupt):
            train(tiles, run, config)
    before = load(run)
    assert before["wsi_embed"]["epochs_done"] == 2
    assert before["global_step"] == 4
    assert not (run / "summary.json").exists()
    train(tiles, run, config, resume=True)
    return run


def interrupt_at(patch: pytest.MonkeyPatch, image: int) -> None:
    """Raise what SIGINT raises when the given image (from 1) is read."""
    real, seen = TileDataset.__getitem__, []

    def item(self: TileDataset, index: int) -> Any:
        seen.append(index)
        if len(seen) == image:
            raise KeyboardInterrupt
        return real(self, index)

    patch.setattr(TileDataset, "__getitem__", item)


def test_run_folder(finished_run: Path) -> None:
    files = sorted(str(p.relative_to(finished_run)) for p in finished_run.rglob("*") if p.is_file())
    assert files == ["checkpoints/last.ckpt", "config.yaml", "health.csv", "metrics.csv", "summary.json"]


def test_config_of_the_run_can_be_read_back(finished_run: Path) -> None:
    values = yaml.safe_load((finished_run / "config.yaml").read_text())
    assert TrainConfig.from_dict(values) == tiny_config(epochs=3)


def test_metrics_have_one_row_an_epoch(finished_run: Path) -> None:
    rows = metrics(finished_run)
    assert [(r["epoch"], r["step"]) for r in rows] == [("1", "2"), ("2", "4"), ("3", "6")]
    for row in rows:
        assert math.isfinite(float(row["loss"]))
        weighted = 0.1 * float(row["invariance"]) + 0.9 * float(row["cluster_similarity"])
        assert float(row["loss"]) == pytest.approx(weighted, abs=1e-5)
        assert 1 <= float(row["clusters_used"]) <= 5


def test_summary(finished_run: Path, tiles: Path) -> None:
    summary = json.loads((finished_run / "summary.json").read_text())
    assert (summary["epochs"], summary["steps"]) == (3, 6)
    assert summary["data"]["tiles"] == 16
    assert summary["data"]["source"] == tiles.name
    assert summary["last"]["loss"] == pytest.approx(float(metrics(finished_run)[-1]["loss"]))


def test_checkpoint_says_what_the_export_needs(finished_run: Path) -> None:
    ours = load(finished_run)["wsi_embed"]
    assert ours["config"] == tiny_config(epochs=3).to_dict()
    assert (ours["epochs_done"], ours["steps"]) == (3, 6)
    assert len(ours["data"]["mean"]) == len(ours["data"]["std"]) == 3


def test_weights_move_and_the_target_lags_behind(finished_run: Path) -> None:
    weights = load(finished_run)["state_dict"]
    online, target = (weights[f"network.{part}.backbone.conv1.weight"] for part in ("encoder", "target"))
    assert torch.isfinite(online).all()
    assert not torch.equal(online, target)
    assert (online - target).norm() < 0.1 * online.norm()


def test_loss_falls(tmp_path: Path) -> None:
    plain = {"crop_scale": [1.0, 1.0], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0}
    run = tmp_path / "run"
    train(tiny_tiles(tmp_path / "tiles", 8), run, tiny_config(epochs=6, alpha=0.0, lr=1.0, **plain))
    losses = [float(r["invariance"]) for r in metrics(run)]
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.parametrize(("lr", "batch_size"), [(0.05, 512), (0.05, 64), (0.2, 256)])
def test_learning_rate_scales_with_the_batch_and_falls_as_a_cosine(lr: float, batch_size: int) -> None:
    module = Training(tiny_config(lr=lr, batch_size=batch_size, epochs=10), DATA)
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "epoch"
    for epoch in range(10):
        expected = lr * batch_size / 256 * (1 + math.cos(math.pi * epoch / 10)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_optimizer_is_the_published_one_and_skips_the_target() -> None:
    module = Training(tiny_config("clubyol-paper"), DATA)
    optimizer = module.configure_optimizers()["optimizer"]
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert isinstance(module.network, CluBYOL)
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 1e-4, False)
    trained = {p.data_ptr() for p in group["params"]}
    assert not trained & {p.data_ptr() for p in module.network.target.parameters()}
    assert module.network.cluster_assigner.weight.data_ptr() in trained


def test_groups_of_the_optimizer_keep_to_their_rates() -> None:
    config = tiny_config(
        "clusiam", epochs=10, warmup_epochs=2, predictor_lr=10.0, exclude_norm_bias=True, lr=0.1
    )
    module = Training(config, DATA)
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    base = 0.1 * 8 / 256
    for epoch in range(10):
        for group in optimizer.param_groups:
            moving = (epoch + 1) / 3 if epoch < 2 else (1 + math.cos(math.pi * (epoch - 2) / 8)) / 2
            expected = 10 * base if group["fixed_lr"] else base * moving
            assert group["lr"] == pytest.approx(expected)
        optimizer.step()
        schedule.step()
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.0, 1e-4}
    assert {g["fixed_lr"] for g in optimizer.param_groups} == {False, True}


@pytest.mark.parametrize("recipe", ["swav", "pcl"])
def test_methods_with_a_memory_resume_exactly(tiles: Path, tmp_path: Path, recipe: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, image=2 * 16 + 4)
        with pytest.raises(KeyboardInterrupt):
            train(tiles, tmp_path / "a", tiny_config(recipe, epochs=3))
    train(tiles, tmp_path / "a", tiny_config(recipe, epochs=3), resume=True)
    train(tiles, tmp_path / "b", tiny_config(recipe, epochs=3))
    resumed, undisturbed = load(tmp_path / "a")["state_dict"], load(tmp_path / "b")["state_dict"]
    assert all(torch.equal(resumed[name], tensor) for name, tensor in undisturbed.items())
    assert len(metrics(tmp_path / "a")) == 3


def test_supervised_learns_the_labels_of_a_csv(tiles: Path, tmp_path: Path) -> None:
    rows = [f"{p},{'red' if i % 2 else 'blue'}" for i, p in enumerate(sorted(tiles.iterdir()))]
    (tmp_path / "tiles.csv").write_text("path,label\n" + "\n".join(rows))
    plain = {"crop_scale": [1.0, 1.0], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0}
    train(tmp_path / "tiles.csv", tmp_path / "run", tiny_config("supervised", epochs=8, lr=1.0, **plain))
    rows_of_epochs = metrics(tmp_path / "run")
    assert float(rows_of_epochs[-1]["cross_entropy"]) < float(rows_of_epochs[0]["cross_entropy"]) / 2
    assert load(tmp_path / "run")["wsi_embed"]["data"]["classes"] == ["blue", "red"]


def test_target_comes_to_rest_at_the_end_of_the_run(tiles: Path, tmp_path: Path) -> None:
    seen: list[float] = []

    class Seen(CluBYOL):
        def after_step(self, progress: float) -> None:
            seen.append(progress)
            super().after_step(progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "clubyol", Seen)
        train(tiles, tmp_path / "run", tiny_config(epochs=2))
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_learning_rate_steps_once_an_epoch(finished_run: Path) -> None:
    (schedule,) = load(finished_run)["lr_schedulers"]
    assert schedule["last_epoch"] == 3


def test_resumed_run_goes_on_at_the_right_epoch(resumed_run: Path) -> None:
    assert [(r["epoch"], r["step"]) for r in metrics(resumed_run)] == [("1", "2"), ("2", "4"), ("3", "6")]
    summary = json.loads((resumed_run / "summary.json").read_text())
    assert (summary["epochs"], summary["steps"]) == (3, 6)


def test_resumed_run_ends_with_the_weights_of_an_undisturbed_one(
    finished_run: Path, resumed_run: Path
) -> None:
    undisturbed, resumed = load(finished_run), load(resumed_run)
    for name, tensor in undisturbed["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], tensor), name
    momenta = [c["optimizer_states"][0]["state"] for c in (undisturbed, resumed)]
    assert momenta[0].keys() == momenta[1].keys()
    for key, state in momenta[0].items():
        assert torch.equal(state["momentum_buffer"], momenta[1][key]["momentum_buffer"])
    assert metrics(resumed_run) == metrics(finished_run)


def test_another_seed_gives_other_weights(finished_run: Path, tiles: Path, tmp_path: Path) -> None:
    train(tiles, tmp_path / "run", tiny_config(epochs=1, seed=1))
    name = "network.encoder.backbone.conv1.weight"
    assert not torch.equal(load(tmp_path / "run")["state_dict"][name], load(finished_run)["state_dict"][name])


def test_a_run_is_not_overwritten(finished_run: Path, tiles: Path) -> None:
    before = (finished_run / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(UsageError, match="holds a run already: choose another --out, or add --resume"):
        train(tiles, finished_run, tiny_config(epochs=3))
    assert (finished_run / "checkpoints" / "last.ckpt").read_bytes() == before


def test_resume_with_other_settings_is_refused(finished_run: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match=r"was trained with lr = 0\.05, not 0\.1"):
        train(tiles, finished_run, tiny_config(epochs=3, lr=0.1), resume=True)


def test_resume_with_another_method_is_refused(finished_run: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match="was trained with method = clubyol, not clusiam"):
        train(tiles, finished_run, tiny_config("clusiam", epochs=3), resume=True)


def test_backbone_that_is_unknown_leaves_nothing_behind(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="resnet19"):
        train(tiles, tmp_path / "run", tiny_config(backbone="resnet19"))
    assert not (tmp_path / "run").exists()


def test_resume_of_nothing_is_refused(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        train(tiles, tmp_path / "run", tiny_config(), resume=True)


def test_fewer_tiles_than_a_batch_are_refused(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 16 tiles, fewer than one batch: use --batch-size 16 or less"):
        train(tiles, tmp_path / "run", tiny_config(batch_size=17))
    assert not (tmp_path / "run").exists()


def test_a_split_of_a_csv_is_trained_on(tiles: Path, tmp_path: Path) -> None:
    rows = [f"{p},{'train' if i % 2 else 'test'}" for i, p in enumerate(sorted(tiles.iterdir()))]
    (tmp_path / "tiles.csv").write_text("path,split\n" + "\n".join(rows))
    train(tmp_path / "tiles.csv", tmp_path / "run", tiny_config(epochs=1), split="train")
    data = load(tmp_path / "run")["wsi_embed"]["data"]
    assert (data["tiles"], data["split"]) == (8, "train")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_that_is_not_there_is_refused(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="--devices cuda"):
        train(tiles, tmp_path / "run", tiny_config(devices="cuda"))


def test_nothing_is_printed(tiles: Path, tmp_path: Path) -> None:
    # A process of its own: pytest takes Lightning's log messages and warnings away.
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.made_models import tiny_config\n"
        "from wsi_embed_train import train\n"
        "train(Path(sys.argv[1]), Path(sys.argv[2]), tiny_config(epochs=1))\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tiles), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
