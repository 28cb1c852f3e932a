"""Two processes that train together, as a user starts them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.made_models import tiny_config
from wsi_embed_train.metrics_file import read_metrics

EPOCHS, STEPS = 4, 16
LAUNCHERS = {
    "flag": [sys.executable, "-m", "wsi_embed"],
    "torchrun": [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "wsi_embed",
    ],
}  # fmt: skip


def command(launcher: str, tiles: Path, folder: Path, **settings: Any) -> list[str]:
    folder.mkdir(exist_ok=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(tiny_config(devices="cpu:2", log_steps=1, batch_size=4, **settings).to_dict())
    )
    return [
        *LAUNCHERS[launcher], "train", str(tiles), "--out", str(folder / "run"), "--recipe", str(recipe)
    ]  # fmt: skip


def load(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    return content


@pytest.fixture(scope="module")
def together(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        command("flag", tiles, folder, epochs=EPOCHS), capture_output=True, text=True, check=True, timeout=300
    )
    return folder, done.stdout


def test_two_processes_make_one_run(together: tuple[Path, str]) -> None:
    folder, said = together
    assert len([line for line in said.splitlines() if line.startswith("epoch ")]) == EPOCHS
    assert said.count("trained: ") == 1
    assert "batch 4, 2 x CPU" in said
    saved = load(folder)
    assert saved["global_step"] == STEPS
    states = [state["cpu"] for state in saved["wsi_embed"]["random"]]
    assert len(states) == 2
    assert not torch.equal(*states), "each draws its own views"
    assert [row["step"] for row in read_metrics(folder / "run" / "metrics.csv")] == list(range(1, STEPS + 1))


def test_stopped_under_torchrun_and_gone_on_with_by_flag(
    together: tuple[Path, str], tiles: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command("torchrun", tiles, tmp_path / "x", epochs=EPOCHS),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    metrics = tmp_path / "x" / "run" / "metrics.csv"
    deadline = time.monotonic() + 100
    while not (metrics.exists() and len(read_metrics(metrics)) >= 1):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # torchrun passes it on to both
    process.communicate(timeout=100)
    assert 1 <= load(tmp_path / "x")["global_step"] < STEPS
    subprocess.run(
        [*command("flag", tiles, tmp_path / "x", epochs=EPOCHS), "--resume"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    resumed, whole = load(tmp_path / "x"), load(together[0])
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], tensor), name
