from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from tests.made_models import tiny_config
from wsi_embed.errors import UsageError
from wsi_embed_train import train
from wsi_embed_train.monitor import PATIENCE, CollapseError, DivergedError, FiniteLoss

ALIKE = {"jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0}


@pytest.fixture
def white(tmp_path: Path) -> Path:
    """Tiles with nothing to learn: whatever the network does, it gives all of them the same features."""
    folder = tmp_path / "white"
    folder.mkdir()
    for number in range(16):
        Image.new("RGB", (32, 32), "white").save(folder / f"{number}.png")
    return folder


def health(run: Path) -> list[dict[str, str]]:
    with (run / "health.csv").open() as lines:
        return list(csv.DictReader(lines))


def test_a_sound_run_is_not_warned_of(tiles: Path, tmp_path: Path) -> None:
    warnings: list[str] = []
    train(tiles, tmp_path / "r", tiny_config(epochs=PATIENCE + 1), on_warning=warnings.append)
    rows = health(tmp_path / "r")
    assert [int(float(row["step"])) for row in rows] == [1 + 2 * epoch for epoch in range(PATIENCE + 1)]
    assert all(float(row["effective_rank"]) > 3 for row in rows)
    assert warnings == []


def test_a_collapse_is_told_once(white: Path, tmp_path: Path) -> None:
    warnings: list[str] = []
    config = tiny_config(epochs=PATIENCE + 2, **ALIKE)
    train(white, tmp_path / "r", config, on_warning=warnings.append)
    assert len(warnings) == 1
    assert "collapse (representation): all tiles get nearly the same features" in warnings[0]
    assert "lower lr" in warnings[0]
    assert (tmp_path / "r" / "summary.json").is_file()


def test_a_collapse_stops_a_run_that_is_to_stop(white: Path, tmp_path: Path) -> None:
    config = tiny_config(epochs=PATIENCE + 2, **ALIKE)
    with pytest.raises(CollapseError, match=r"last\.ckpt is of the last whole epoch"):
        train(white, tmp_path / "r", config, on_collapse="stop")
    saved = torch.load(tmp_path / "r" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["wsi_embed"]["epochs_done"] == PATIENCE - 1
    assert not (tmp_path / "r" / "summary.json").exists()


def test_watching_changes_nothing(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for name in ("watched", "alone"):
        last = train(tiles, tmp_path / name, tiny_config(epochs=2))
        weights.append(torch.load(last, weights_only=True)["state_dict"])
        monkeypatch.setattr("wsi_embed_train.monitor.EVERY_STEPS", 10**9)
        monkeypatch.setattr("wsi_embed_train.monitor.representation_figures", lambda features: {})
        monkeypatch.setattr("wsi_embed_train.monitor.assignment_figures", lambda logits: {})
        monkeypatch.setattr("wsi_embed_train.monitor.diagnose", lambda *args: None)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_choice_is_checked_before_any_work(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--on-collapse never: choose warn or stop"):
        train(tiles, tmp_path / "r", tiny_config(), on_collapse="never")
    assert not (tmp_path / "r").exists()


def test_the_command_ends_with_one_line(white: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_config(epochs=PATIENCE + 2, **ALIKE).to_dict()))
    command = [sys.executable, "-m", "wsi_embed", "train", str(white), "--out", str(tmp_path / "r")]
    done = subprocess.run(
        [*command, "--recipe", str(recipe), "--on-collapse", "stop"],
        capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("error: step ")


@pytest.mark.parametrize(("lr", "says"), [(1e30, "lower --lr")])
def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(
    lr: float, says: str, tiles: Path, tmp_path: Path
) -> None:
    with pytest.raises(DivergedError, match=rf"step \d+: the loss is nan.*{says}"):
        train(tiles, tmp_path / "r", tiny_config(epochs=4, lr=lr))
    last = tmp_path / "r" / "checkpoints" / "last.ckpt"
    if last.exists():
        weights = torch.load(last, weights_only=True)["state_dict"].values()
        assert all(torch.isfinite(w).all() for w in weights)


def test_half_precision_gets_another_remedy() -> None:
    class Trainer:
        global_step, is_last_batch = 7, True

    with pytest.raises(DivergedError, match="--precision bf16 or 32"):
        FiniteLoss("16").on_train_batch_end(Trainer(), None, {"loss": torch.tensor(math.inf)}, None, 3)  # type: ignore[arg-type]
