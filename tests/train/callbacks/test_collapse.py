from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from tests.job_tools import invoke
from tests.made_models import tiny_config
from wsi_embed.errors import UsageError
from wsi_embed_train import Listener, train
from wsi_embed_train.callbacks import CollapseError, DivergedError
from wsi_embed_train.callbacks.collapse import PATIENCE
from wsi_embed_train.callbacks.finite import check_finite
from wsi_embed_train.collapse import representation_figures
from wsi_embed_train.metrics_file import read_metrics

ALIKE = {"jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0}


@pytest.fixture
def white(tmp_path: Path) -> Path:
    """Tiles with nothing to learn: whatever the network does, it gives all of them the same features."""
    folder = tmp_path / "white"
    folder.mkdir()
    for number in range(16):
        Image.new("RGB", (32, 32), "white").save(folder / f"{number}.png")
    return folder


def fall_ill(patch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> None:
    """Let the monitor see features that are all alike, at some of its looks."""
    looks = itertools.count(1)

    def figures(features: torch.Tensor) -> dict[str, float]:
        alike = features[:1].expand(len(features), -1)
        return representation_figures(alike if when(next(looks)) else features)

    patch.setattr("wsi_embed_train.callbacks.collapse.representation_figures", figures)


class Warned(Listener):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, text: str) -> None:
        self.warnings.append(text)


def test_a_sound_run_is_not_warned_of(tiles: Path, tmp_path: Path) -> None:
    listener = Warned()
    train(tiles, tmp_path / "r", tiny_config(epochs=PATIENCE + 1), listener=listener)
    rows = read_metrics(tmp_path / "r" / "metrics.csv")
    assert [row["step"] for row in rows] == [1, *range(2, 2 * PATIENCE + 3, 2)]
    assert all(row["effective_rank"] > 3 for row in rows)
    assert listener.warnings == []


def test_a_collapse_is_told_once(white: Path, tmp_path: Path) -> None:
    listener = Warned()
    config = tiny_config(epochs=PATIENCE + 2, **ALIKE)
    train(white, tmp_path / "r", config, listener=listener)
    (warning,) = listener.warnings
    assert "collapse (representation): all tiles get nearly the same features" in warning
    assert "lower lr" in warning
    assert (tmp_path / "r" / "summary.json").is_file()


def test_a_collapse_stops_a_run_that_is_to_stop(white: Path, tmp_path: Path) -> None:
    config = tiny_config(epochs=PATIENCE + 2, **ALIKE)
    with pytest.raises(CollapseError, match=r"stopped; it was never healthy"):
        train(white, tmp_path / "r", config, on_collapse="stop")
    assert not (tmp_path / "r" / "summary.json").exists()
    assert (tmp_path / "r" / "curves.png").exists()


def test_a_stopped_run_is_left_at_the_last_healthy_checkpoint(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # healthy to step 6, and then figures as of features that are all alike
    fall_ill(monkeypatch, lambda look: look > 6)
    config = tiny_config(epochs=10, log_steps=1, save_steps=1)
    with pytest.raises(CollapseError, match=r"step 11: .*last\.ckpt is of before it showed"):
        train(tiles, tmp_path / "r", config, on_collapse="stop")
    checkpoints = tmp_path / "r" / "checkpoints"
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == 6
    assert not (checkpoints / "healthy.ckpt").exists()


def test_an_illness_that_passes_leaves_nothing_behind(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall_ill(monkeypatch, lambda look: look in (3, 4))
    train(tiles, tmp_path / "r", tiny_config(epochs=4, log_steps=1, save_steps=1), on_collapse="stop")
    checkpoints = tmp_path / "r" / "checkpoints"
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == 8
    assert not (checkpoints / "healthy.ckpt").exists()


def test_watching_changes_nothing(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for name, every in (("watched", 1), ("alone", 10**9)):
        last = train(tiles, tmp_path / name, tiny_config(epochs=2, log_steps=every))
        weights.append(torch.load(last, weights_only=True)["state_dict"])
        monkeypatch.setattr("wsi_embed_train.callbacks.collapse.is_look", lambda *args: False)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_choice_is_checked_before_any_work(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`on_collapse='never'`: choose warn or stop"):
        train(tiles, tmp_path / "r", tiny_config(), on_collapse="never")
    assert not (tmp_path / "r").exists()


def test_the_command_ends_with_one_line(white: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_config(epochs=PATIENCE + 2, **ALIKE).to_dict()))
    done = invoke("train", white, "--out", tmp_path / "r", "--recipe", recipe, "--on-collapse", "stop")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("error: step ")


@pytest.mark.parametrize(("lr", "says"), [(1e30, "lower `lr=`")])
def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(
    lr: float, says: str, tiles: Path, tmp_path: Path
) -> None:
    with pytest.raises(DivergedError, match=rf"step \d+: the loss is nan.*{says}"):
        train(tiles, tmp_path / "r", tiny_config(epochs=4, lr=lr))
    last = tmp_path / "r" / "checkpoints" / "last.ckpt"
    if last.exists():
        weights = torch.load(last, weights_only=True)["state_dict"].values()
        assert all(torch.isfinite(w).all() for w in weights)


def test_half_precision_gets_another_remedy(tiles: Path, tmp_path: Path) -> None:
    class Trainer:
        global_step, world_size = 7, 1

    class Module:
        row = {"loss": torch.tensor(math.inf)}  # noqa: RUF012

    with pytest.raises(DivergedError, match=r"step 7: the loss is inf.*`precision='bf16'` or 32"):
        check_finite(Trainer(), Module(), "16")  # type: ignore[arg-type]
