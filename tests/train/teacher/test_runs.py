"""Distillations from start to export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_models import tiny_config, tiny_onnx
from tests.train.test_resume import StopAt, load, same_run
from tests.train.weights.test_start import Lines
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import Stopped, UsageError
from wsi_embed_export import export
from wsi_embed_train import TrainConfig, train

CONFIG = {"epochs": 2, "batch_size": 6, "cluster_weight": 1.0, "log_steps": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {"licence": "CC-BY-NC-4.0", "name": "big"}
    return tiny_onnx(tmp_path_factory.mktemp("teacher") / "big.onnx", tile_px=64, changes=changes)


def config(sees: str) -> TrainConfig:
    return tiny_config("distil", teacher_sees=sees, **CONFIG)


@pytest.fixture(scope="module")
def run(tiles: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tile"
    train(tiles, run, config("tile"), teacher=teacher)
    return run


def test_cache_holds_what_was_seen(run: Path) -> None:
    """Two epochs of 12 out of 16 tiles."""
    (path,) = run.glob("teacher-*.npy")
    rows = np.load(path)
    length = np.linalg.norm(rows["features"].astype(np.float64), axis=1)
    assert rows["features"].shape == (16, 8)
    assert (np.abs(length - 1) < 1e-3).sum() >= 12
    assert set(np.unique(rows["cluster"][length > 0])) <= set(range(4))


@pytest.mark.parametrize("sees", ["tile", "view"])
def test_stopped_run_goes_on_exactly(
    run: Path, tiles: Path, teacher: Path, tmp_path: Path, sees: str
) -> None:
    whole = run
    if sees == "view":
        whole = tmp_path / "whole"
        train(tiles, whole, config(sees), teacher=teacher)
    stopping = StopAt(3)
    with pytest.raises(Stopped):
        train(tiles, tmp_path / "cut", config(sees), teacher=teacher, listener=stopping, stop=stopping.stop)
    assert load(tmp_path / "cut")["global_step"] == 3
    train(tiles, tmp_path / "cut", config(sees), teacher=teacher, resume=True)
    same_run(tmp_path / "cut", whole)


def test_other_teacher_or_none_is_refused_on_resume(run: Path, tiles: Path, tmp_path: Path) -> None:
    other = tiny_onnx(tmp_path / "other.onnx", seed=3)
    with pytest.raises(UsageError, match=r"was taught by big \(made:64-8-4-0-None\), not by tiny \("):
        train(tiles, run, config("tile"), teacher=other, resume=True)
    with pytest.raises(UsageError, match="distil needs a teacher"):
        train(tiles, run, config("tile"), resume=True)


def test_exported_student_is_an_encoder_with_the_clusters_and_licence(run: Path, tmp_path: Path) -> None:
    metadata = export(run, tmp_path / "student.ts")
    assert (metadata.method, metadata.feature_dim, metadata.clusters) == ("distil", 96, 4)
    assert metadata.training["teacher"]["model_id"] == "made:64-8-4-0-None"
    assert metadata.licence == "CC-BY-NC-4.0 (teacher big)"
    encoded = load_encoder(tmp_path / "student.ts", device="cpu").encode(np.zeros((2, 32, 32, 3), np.uint8))
    assert encoded.features.shape == (2, 96)
    assert encoded.cluster is not None
    assert set(encoded.cluster.tolist()) <= set(range(4))


def test_student_starts_from_given_weights(run: Path, tiles: Path, teacher: Path, tmp_path: Path) -> None:
    settings = CONFIG | {"epochs": 1, "freeze": "1", "layer_decay": 0.5, "optimizer": "adamw", "lr": 0.01}
    lines = Lines()
    train(
        tiles, tmp_path / "run", tiny_config("distil", **settings), teacher=teacher, init=run,
        init_licence="MIT", listener=lines,
    )  # fmt: skip
    assert [note.split()[0] for note in lines.notes] == ["starts", "frozen:", "taught"]
    before, after = (load(each)["state_dict"] for each in (run, tmp_path / "run"))
    names = {name for name in before if not name.endswith("num_batches_tracked")}
    moved = {name for name in names if not np.array_equal(before[name], after[name])}
    assert "network.encoder.backbone.layer4.0.conv1.weight" in moved
    assert not any(name.startswith("network.encoder.backbone.layer1") for name in moved)
    assert export(tmp_path / "run", tmp_path / "m.ts").licence == "MIT; CC-BY-NC-4.0 (teacher big)"
