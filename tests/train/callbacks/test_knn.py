from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.made_models import tiny_config
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.knn import evaluate_knn
from wsi_embed_train import train
from wsi_embed_train.labelled import read_labelled, tile_features
from wsi_embed_train.metrics_file import read_metrics
from wsi_embed_train.run_folder import RunFolder


@pytest.fixture
def labelled(tiles: Path, tmp_path: Path) -> Path:
    paths = sorted(tiles.iterdir())
    rows = [f"{p},{'ab'[i % 2]},{'train' if i < 10 else 'test'}" for i, p in enumerate(paths)]
    (tmp_path / "labelled.csv").write_text("path,label,split\n" + "\n".join(rows))
    return tmp_path / "labelled.csv"


def test_scores_are_those_of_the_checkpoint_and_decide_which_is_best(
    tiles: Path, labelled: Path, tmp_path: Path
) -> None:
    from wsi_embed_export import read_source

    config = tiny_config(epochs=5, knn_epochs=2, keep_epochs=1, lr=1.0)
    train(tiles, tmp_path / "run", config, knn=labelled)
    scores = {
        row["epoch"]: row["knn_f1"]
        for row in read_metrics(tmp_path / "run" / "metrics.csv")
        if "knn_f1" in row
    }
    assert list(scores) == [2, 4, 5], "every second epoch, and the last"
    tiles_of = read_labelled(labelled)
    folder = RunFolder(tmp_path / "run").checkpoints
    for epoch, score in scores.items():
        kept = read_source(folder / f"epoch-{int(epoch):04}.ckpt")
        features = [
            tile_features(kept.backbone.eval(), of, kept.mean, kept.std, 32, torch.device("cpu"))
            for of in (tiles_of.train, tiles_of.test)
        ]
        expected = evaluate_knn(features[0], tiles_of.train.labels, features[1], tiles_of.test.labels)
        assert score == pytest.approx(expected.f1_macro, abs=1e-5)
    best = json.loads((tmp_path / "run" / "summary.json").read_text())["best"]
    assert best["score"] == pytest.approx(max(scores.values()), abs=1e-5)
    assert (folder / "best.ckpt").read_bytes() == (folder / f"epoch-{best['epoch']:04}.ckpt").read_bytes()


def test_evaluating_changes_nothing(tiles: Path, labelled: Path, tmp_path: Path) -> None:
    weights = []
    for name, knn in (("with", labelled), ("without", None)):
        last = train(tiles, tmp_path / name, tiny_config(epochs=2, knn_epochs=1), knn=knn)
        weights.append(torch.load(last, weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_csv_without_labels_is_refused_before_any_work(tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path\nx.png\n")
    with pytest.raises(UsageError, match="no column 'label', which `knn=` needs"):
        train(tiles, tmp_path / "run", tiny_config(), knn=tmp_path / "t.csv")
    assert not (tmp_path / "run").exists()
