"""A run that is killed, stopped or pre-empted goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.made_models import tiny_config
from wsi_embed.errors import Stopped, UsageError
from wsi_embed_train import Listener, train
from wsi_embed_train.metrics_file import read_metrics


class StopAt(Listener):
    """Asks for a stop when a step has ended."""

    def __init__(self, step: int) -> None:
        self.step, self.stop, self.begun = step, threading.Event(), -1

    def started(self, steps: int, done: int, how: str) -> None:
        self.begun = done

    def step_done(self, step: int) -> None:
        if step == self.step:
            self.stop.set()


def load(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def timeless(run: Path) -> list[Mapping[str, float]]:
    return [
        {k: v for k, v in row.items() if k != "images_per_s"} for row in read_metrics(run / "metrics.csv")
    ]


def same_run(one: Path, other: Path) -> None:
    """Weights, momenta, buffers, random numbers and metrics are the same bits."""
    a, b = load(one), load(other)
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, tensor in a["state_dict"].items():
        assert torch.equal(tensor, b["state_dict"][name]), name
    states = [content["optimizer_states"][0]["state"] for content in (a, b)]
    assert states[0].keys() == states[1].keys()
    for key, state in states[0].items():
        assert torch.equal(state["momentum_buffer"], states[1][key]["momentum_buffer"])
    assert torch.equal(a["wsi_embed"]["random"][0]["cpu"], b["wsi_embed"]["random"][0]["cpu"])
    assert a["wsi_embed"]["position"] == b["wsi_embed"]["position"]
    assert timeless(one) == timeless(other)


@pytest.mark.parametrize(("recipe", "step"), [("clubyol", 1), ("clubyol", 2), ("swav", 3), ("pcl", 3)])
def test_a_stopped_run_goes_on_exactly(tiles: Path, tmp_path: Path, recipe: str, step: int) -> None:
    config = tiny_config(recipe, epochs=2, batch_size=4, log_steps=2)
    train(tiles, tmp_path / "whole", config)
    stopping = StopAt(step)
    with pytest.raises(Stopped):
        train(tiles, tmp_path / "run", config, listener=stopping, stop=stopping.stop)
    assert load(tmp_path / "run")["global_step"] == step
    again = StopAt(-1)
    train(tiles, tmp_path / "run", config, resume=True, listener=again)
    assert again.begun == step
    same_run(tmp_path / "run", tmp_path / "whole")


def test_stopped_twice(tiles: Path, tmp_path: Path) -> None:
    config = tiny_config(epochs=2, batch_size=8, accumulate=2, log_steps=1, precision="bf16")
    train(tiles, tmp_path / "whole", config)
    for step in (1, 3):
        stopping = StopAt(step)
        with pytest.raises(Stopped):
            train(tiles, tmp_path / "run", config, resume=step > 1, listener=stopping, stop=stopping.stop)
    train(tiles, tmp_path / "run", config, resume=True)
    same_run(tmp_path / "run", tmp_path / "whole")


def test_decoding_processes_change_nothing(tiles: Path, tmp_path: Path) -> None:
    train(tiles, tmp_path / "none", tiny_config(epochs=2, batch_size=4))
    stopping = StopAt(3)
    config = tiny_config(epochs=2, batch_size=4, workers=2)
    with pytest.raises(Stopped):
        train(tiles, tmp_path / "two", config, listener=stopping, stop=stopping.stop)
    train(tiles, tmp_path / "two", config, resume=True)
    same_run(tmp_path / "two", tmp_path / "none")


def command(tiles: Path, run: Path, tmp_path: Path, **settings: Any) -> list[str]:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_config(**settings).to_dict()))
    return [
        sys.executable, "-m", "wsi_embed", "train", str(tiles), "--out", str(run), "--recipe", str(recipe)
    ]  # fmt: skip


def wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        path = run / "metrics.csv"
        if path.exists() and (rows := read_metrics(path)) and rows[-1]["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached (exit {process.poll()})")


SETTINGS: dict[str, Any] = {"epochs": 12, "batch_size": 4, "log_steps": 1, "save_steps": 3, "keep_epochs": 5}


@pytest.fixture(scope="module")
def long_run(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Undisturbed, in a process of its own as the disturbed ones: 48 steps."""
    folder = tmp_path_factory.mktemp("long")
    subprocess.run(command(tiles, folder / "run", folder, **SETTINGS), check=True, capture_output=True)
    return folder / "run"


def test_a_killed_run_goes_on_exactly(long_run: Path, tiles: Path, tmp_path: Path) -> None:
    arguments = command(tiles, tmp_path / "run", tmp_path, **SETTINGS)
    for step in (5, 26):
        with subprocess.Popen(
            arguments + ["--resume"] * (step > 5), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            wait_for_step(tmp_path / "run", step, process)
            process.kill()
        # whatever was in hand, no half file has the name of a checkpoint
        for path in (tmp_path / "run" / "checkpoints").glob("[!.]*.ckpt"):
            torch.load(path, weights_only=True)
    subprocess.run([*arguments, "--resume"], check=True, capture_output=True)
    same_run(tmp_path / "run", long_run)
    kept = sorted(p.name for p in (tmp_path / "run" / "checkpoints").glob("epoch-*.ckpt"))
    assert kept == [f"epoch-{epoch:04}.ckpt" for epoch in range(5, 13, 5)]


def test_signals_save_and_exit_75(long_run: Path, tiles: Path, tmp_path: Path) -> None:
    arguments = command(tiles, tmp_path / "run", tmp_path, **SETTINGS | {"save_steps": 10**6})
    restarted = os.environ | {"SLURM_RESTART_COUNT": "1"}  # as Slurm starts a requeued job: same command
    for number, step, environment in ((signal.SIGTERM, 6, None), (signal.SIGINT, 26, restarted)):
        with subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        ) as process:
            wait_for_step(tmp_path / "run", step, process)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 75
        saved = load(tmp_path / "run")["global_step"]
        lines = said.decode().strip().splitlines()
        assert lines == [f"error: stopped early at step {saved}, and saved; go on with --resume"]
        assert (tmp_path / "run" / "curves.png").is_file()
    subprocess.run(arguments, check=True, capture_output=True, env=restarted)
    same_run(tmp_path / "run", long_run)


def test_resume_of_nothing_is_refused(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        train(tiles, tmp_path / "run", tiny_config(), resume=True)


def test_resume_with_other_settings_is_refused(finished_run: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match=r"was trained with lr = 0\.05, not 0\.1"):
        train(tiles, finished_run, tiny_config(epochs=3, lr=0.1), resume=True)


def test_resume_with_another_method_is_refused(finished_run: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match="was trained with method = clubyol, not clusiam"):
        train(tiles, finished_run, tiny_config("clusiam", epochs=3), resume=True)


def test_resume_with_other_tiles_is_refused(finished_run: Path, tiles: Path, tmp_path: Path) -> None:
    fewer = tmp_path / "tiles"
    fewer.mkdir()
    for path in sorted(tiles.iterdir())[1:]:
        (fewer / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="was trained with tiles = 16, and the source has 15"):
        train(fewer, finished_run, tiny_config(epochs=3), resume=True)


def test_resume_of_a_file_that_is_no_checkpoint_is_one_line(tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 half a checkpoint")
    with pytest.raises(UsageError, match=r"last\.ckpt: not a checkpoint of wsi-embed train"):
        train(tiles, tmp_path / "run", tiny_config(), resume=True)


def test_a_finished_run_has_nothing_left_to_do(finished_run: Path, tiles: Path) -> None:
    before = load(finished_run)
    train(tiles, finished_run, tiny_config(epochs=3), resume=True)
    assert load(finished_run)["global_step"] == before["global_step"] == 6
