from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.made_models import tiny_config, tiny_tiles
from tests.made_slides import write_tiff
from wsi_embed.errors import DeviceError, UsageError
from wsi_embed_train import TrainConfig, fit, train
from wsi_embed_train.data.loader import ignore_signals
from wsi_embed_train.methods.clubyol import CluBYOL


def load(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as lines:
        return list(csv.DictReader(lines))


def test_run_folder(finished_run: Path) -> None:
    files = sorted(str(p.relative_to(finished_run)) for p in finished_run.rglob("*") if p.is_file())
    (board,) = (name for name in files if name.startswith("tensorboard/events."))
    files.remove(board)
    assert files == [
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "curves.png", "metrics.csv",
        "summary.json",
    ]  # fmt: skip


def test_config_of_the_run_can_be_read_back(finished_run: Path) -> None:
    values = yaml.safe_load((finished_run / "config.yaml").read_text())
    assert TrainConfig.from_dict(values) == tiny_config(epochs=3)


def test_metrics_have_a_row_at_the_first_step_and_at_every_epochs_end(finished_run: Path) -> None:
    rows = metrics(finished_run)
    assert [(r["epoch"], r["step"]) for r in rows] == [("1", "1"), ("1", "2"), ("2", "4"), ("3", "6")]
    for row in rows:
        assert math.isfinite(float(row["loss"]))
        weighted = 0.1 * float(row["invariance"]) + 0.9 * float(row["cluster_similarity"])
        assert float(row["loss"]) == pytest.approx(weighted, rel=1e-3, abs=1e-6)
        assert 1 <= float(row["clusters_used"]) <= 5


def test_summary(finished_run: Path, tiles: Path) -> None:
    summary = json.loads((finished_run / "summary.json").read_text())
    assert (summary["epochs"], summary["steps"]) == (3, 6)
    assert summary["data"]["tiles"] == 16
    assert summary["data"]["source"] == tiles.name
    assert summary["last"]["loss"] == pytest.approx(float(metrics(finished_run)[-1]["loss"]), rel=1e-5)


def test_checkpoint_says_what_the_export_needs(finished_run: Path) -> None:
    ours = load(finished_run)["wsi_embed"]
    assert ours["config"] == tiny_config(epochs=3).to_dict()
    assert (ours["epochs_done"], ours["steps"]) == (3, 6)
    assert len(ours["data"]["mean"]) == len(ours["data"]["std"]) == 3


def test_weights_move_and_the_target_lags_behind(finished_run: Path) -> None:
    weights = load(finished_run)["state_dict"]
    online, target = (weights[f"network.{part}.backbone.conv1.0.weight"] for part in ("encoder", "target"))
    assert torch.isfinite(online).all()
    assert not torch.equal(online, target)
    assert (online - target).norm() < 0.1 * online.norm()


def test_loss_falls(tmp_path: Path) -> None:
    plain = {"crop_scale": [1.0, 1.0], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0}
    run = tmp_path / "run"
    train(tiny_tiles(tmp_path / "tiles", 8), run, tiny_config(epochs=6, alpha=0.0, lr=1.0, **plain))
    losses = [float(r["invariance"]) for r in metrics(run)]
    assert losses[-1] < losses[0] - 0.2


def test_supervised_learns_the_labels_of_a_csv(tiles: Path, tmp_path: Path) -> None:
    rows = [f"{p},{'red' if i % 2 else 'blue'}" for i, p in enumerate(sorted(tiles.iterdir()))]
    (tmp_path / "tiles.csv").write_text("path,label\n" + "\n".join(rows))
    plain = {"crop_scale": [1.0, 1.0], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0}
    train(tmp_path / "tiles.csv", tmp_path / "run", tiny_config("supervised", epochs=8, lr=1.0, **plain))
    rows_of_epochs = metrics(tmp_path / "run")
    assert float(rows_of_epochs[-1]["cross_entropy"]) < float(rows_of_epochs[0]["cross_entropy"]) / 2
    assert load(tmp_path / "run")["wsi_embed"]["data"]["classes"] == ["blue", "red"]


def test_supervised_learns_the_labels_of_slides(tmp_path: Path) -> None:
    colours = {"dark": (60, 20, 90), "light": (220, 150, 190)}
    for name, colour in colours.items():
        pixels = np.full((128, 128, 3), colour, np.uint8)
        write_tiff(tmp_path / f"{name}.tif", pixels, levels=(1, 4))
    (tmp_path / "slides.csv").write_text("path,label\n" + "".join(f"{n}.tif,{n}\n" for n in colours))
    plain = {"crop_scale": [1.0, 1.0], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0, "flip_p": 0.0}
    config = tiny_config("supervised", epochs=3, lr=1.0, mpp=0.5, tissue="none", region_tiles=1, **plain)
    train(tmp_path / "slides.csv", tmp_path / "run", config)
    losses = [float(row["cross_entropy"]) for row in metrics(tmp_path / "run")]
    assert losses[-1] < losses[0] / 2
    assert load(tmp_path / "run")["wsi_embed"]["data"]["classes"] == ["dark", "light"]


def test_target_comes_to_rest_at_the_end_of_the_run(tiles: Path, tmp_path: Path) -> None:
    seen: list[float] = []

    after_step = CluBYOL.after_step

    def noted(method: CluBYOL, progress: float) -> None:
        seen.append(progress)
        after_step(method, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CluBYOL, "after_step", noted)
        train(tiles, tmp_path / "run", tiny_config(epochs=2))
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_another_seed_gives_other_weights(finished_run: Path, tiles: Path, tmp_path: Path) -> None:
    train(tiles, tmp_path / "run", tiny_config(epochs=1, seed=1))
    name = "network.encoder.backbone.conv1.0.weight"
    assert not torch.equal(load(tmp_path / "run")["state_dict"][name], load(finished_run)["state_dict"][name])


def test_decoding_processes_get_nothing_of_lightning(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of Lightning's that seeds them would be imported, with all of Lightning, by each."""
    loaders: list[Any] = []

    def noted(*args: Any) -> Any:
        loader, sampler = real(*args)
        loaders.append(loader)
        return loader, sampler

    real = fit._loader
    monkeypatch.setattr(fit, "_loader", noted)
    train(tiles, tmp_path / "run", tiny_config(epochs=1))
    assert [loader.worker_init_fn for loader in loaders] == [ignore_signals]


def test_a_run_is_not_overwritten(finished_run: Path, tiles: Path) -> None:
    before = (finished_run / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(UsageError, match="already holds a run; choose another `out=`, or add `resume=True`"):
        train(tiles, finished_run, tiny_config(epochs=3))
    assert (finished_run / "checkpoints" / "last.ckpt").read_bytes() == before


def test_backbone_that_is_unknown_leaves_nothing_behind(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="resnet19"):
        train(tiles, tmp_path / "run", tiny_config(backbone="resnet19"))
    assert not (tmp_path / "run").exists()


def test_fewer_tiles_than_a_batch_are_refused(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"16 tiles, fewer than one batch \(17\); use `batch_size=16` or less"
    ):
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
    with pytest.raises(DeviceError, match="`devices='cuda'`"):
        train(tiles, tmp_path / "run", tiny_config(devices="cuda"))
