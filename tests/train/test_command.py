"""`wsi-embed train` as typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from wsi_embed.cli import app
from wsi_embed.errors import UsageError

SMALL = [
    "--tile-px", "32", "--feat-size", "16", "--epochs", "1", "--batch-size", "8", "--workers", "0",
    "--devices", "cpu",
]  # fmt: skip


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_flags_and_settings_replace_the_recipes_values(tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ["--set", "predictor_hidden=32", "--set", "crop_scale=[0.5, 1]", "--set", "fix_pred_lr=false"]
    result = typed(tiles, "--out", run, "--recipe", "clusiam", *SMALL, "--alpha", "0.25", *settings)
    assert result.exit_code == 0, result.output
    assert "epoch 1/1: loss" in result.output
    assert "clusters used" in result.output
    used = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    assert (used["method"], used["alpha"], used["crop_scale"]) == ("clusiam", 0.25, [0.5, 1.0])
    assert (used["fix_pred_lr"], used["predictor_hidden"], used["lr"]) == (False, 32, 0.05)
    assert "ema" not in used


def test_a_method_without_clusters_says_its_loss_alone(tiles: Path, tmp_path: Path) -> None:
    result = typed(
        tiles, "--out", tmp_path / "run", "--recipe", "simclr", *SMALL, "--set", "projector_hidden=8"
    )
    assert result.exit_code == 0, result.output
    assert "epoch 1/1: loss" in result.output
    assert "clusters used" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "alpah=0.5"], "unknown training setting 'alpah'; did you mean alpha"),
        (["--epochs", "2", "--set", "epochs=3"], "epochs is given twice"),
        (["--set", "alpha"], "--set alpha: give KEY=VALUE"),
        (["--set", "alpha=much"], "--alpha much: a number is expected"),
        (["--lr", "-1"], "--lr -1.0: above 0 is expected"),
        (["--set", "min_tissue=2"], "--set min_tissue=2.0: 0 to 1 is expected"),
        (["--set", "crop_scale=[0.9, 0.2]"], "--set crop_scale=[0.9,0.2]: the minimum must come first"),
        (
            ["--recipe", "clubyl"],
            "--recipe clubyl: no such recipe, and no such YAML file; did you mean clubyol",
        ),
        (["--recipe", "simclr", "--alpha", "0.5"], "simclr has no setting 'alpha'"),
    ],
)
def test_what_is_wrong_is_named(tiles: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = typed(tiles, "--out", tmp_path / "run", *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert not (tmp_path / "run").exists()
