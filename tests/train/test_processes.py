"""Two processes that train together, as a user starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.forked import CONTEXT
from tests.made_models import tiny_config
from wsi_embed_train import train
from wsi_embed_train.metrics_file import read_metrics

EPOCHS, STEPS = 4, 16
LAUNCHERS = {
    "flag": [sys.executable, "-m", "wsi_embed"],
    "torchrun": [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "wsi_embed",
    ],
}  # fmt: skip
SETTINGS: dict[str, Any] = {"devices": "cpu:2", "log_steps": 1, "batch_size": 4, "epochs": EPOCHS}


def command(launcher: str, tiles: Path, folder: Path) -> list[str]:
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_config(**SETTINGS).to_dict()))
    return [
        *LAUNCHERS[launcher], "train", str(tiles), "--out", str(folder / "run"), "--recipe", str(recipe)
    ]  # fmt: skip


def load(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def rank(number: int, port: int, tiles: Path, run: Path) -> None:
    """One of two processes, with what `torchrun` tells them."""
    os.environ |= {
        "RANK": str(number), "LOCAL_RANK": str(number), "GROUP_RANK": "0", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "none",
    }  # fmt: skip
    train(tiles, run, tiny_config(**SETTINGS))


@pytest.fixture(scope="module")
def undisturbed(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    both = [CONTEXT.Process(target=rank, args=(number, port, tiles, folder / "run")) for number in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    return folder


@pytest.fixture(scope="module")
def stopped(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run under `torchrun` that was stopped, and the steps that it had done."""
    folder = tmp_path_factory.mktemp("stopped")
    process = subprocess.Popen(
        command("torchrun", tiles, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    metrics = folder / "run" / "metrics.csv"
    deadline = time.monotonic() + 100
    while not (metrics.exists() and len(read_metrics(metrics)) >= 1):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # torchrun passes it on to both
    process.communicate(timeout=100)
    return folder, load(folder)["global_step"]


@pytest.fixture(scope="module")
def resumed(stopped: tuple[Path, int], tiles: Path) -> tuple[Path, str]:
    """The run, gone on with by flag, and what the command printed."""
    folder, _ = stopped
    done = subprocess.run(
        [*command("flag", tiles, folder), "--resume"],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return folder, done.stdout


def test_two_processes_make_one_run(resumed: tuple[Path, str], stopped: tuple[Path, int]) -> None:
    folder, said = resumed
    before = stopped[1] // (STEPS // EPOCHS)  # epochs
    assert len([line for line in said.splitlines() if line.startswith("epoch ")]) == EPOCHS - before
    assert said.count("trained: ") == 1
    assert "batch 4, 2 x CPU" in said
    saved = load(folder)
    assert saved["global_step"] == STEPS
    states = [state["cpu"] for state in saved["wsi_embed"]["random"]]
    assert len(states) == 2
    assert not torch.equal(*states), "each draws its own views"
    assert [row["step"] for row in read_metrics(folder / "run" / "metrics.csv")] == list(range(1, STEPS + 1))


def test_stopped_under_torchrun_and_gone_on_with_by_flag(
    resumed: tuple[Path, str], stopped: tuple[Path, int], undisturbed: Path
) -> None:
    assert 1 <= stopped[1] < STEPS
    found, whole = load(resumed[0]), load(undisturbed)
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor), name
