"""A run that is killed, stopped or pre-empted goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.forked import start_command
from tests.job_tools import invoke
from tests.made_models import tiny_config
from wsi_embed.cli.training import PlainTraining
from wsi_embed.errors import Stopped, UsageError
from wsi_embed_train import Listener, TrainConfig, train
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


def stopped_at(step: int, tiles: Path, run: Path, config: TrainConfig, resume: bool = False) -> None:
    stopping = StopAt(step)
    with pytest.raises(Stopped):
        train(tiles, run, config, resume=resume, listener=stopping, stop=stopping.stop)
    assert load(run)["global_step"] == step


SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 4, "log_steps": 2}


@pytest.fixture(scope="module")
def short_run(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Undisturbed: 8 steps."""
    run = tmp_path_factory.mktemp("short") / "run"
    train(tiles, run, tiny_config(**SHORT))
    return run


@pytest.mark.parametrize("step", [1, 2])
def test_a_stopped_run_goes_on_exactly(short_run: Path, tiles: Path, tmp_path: Path, step: int) -> None:
    stopped_at(step, tiles, tmp_path / "run", tiny_config(**SHORT))
    again = StopAt(-1)
    train(tiles, tmp_path / "run", tiny_config(**SHORT), resume=True, listener=again)
    assert again.begun == step
    same_run(tmp_path / "run", short_run)


@pytest.mark.parametrize("recipe", ["swav", "pcl"])
def test_a_stopped_run_goes_on_exactly_with_its_queue(tiles: Path, tmp_path: Path, recipe: str) -> None:
    config = tiny_config(recipe, **SHORT)
    train(tiles, tmp_path / "whole", config)
    stopped_at(3, tiles, tmp_path / "run", config)
    train(tiles, tmp_path / "run", config, resume=True)
    same_run(tmp_path / "run", tmp_path / "whole")


def test_stopped_twice(tiles: Path, tmp_path: Path) -> None:
    config = tiny_config(epochs=2, batch_size=8, accumulate=2, log_steps=1, precision="bf16")
    train(tiles, tmp_path / "whole", config)
    for step in (1, 3):
        stopped_at(step, tiles, tmp_path / "run", config, resume=step > 1)
    train(tiles, tmp_path / "run", config, resume=True)
    same_run(tmp_path / "run", tmp_path / "whole")


def test_decoding_processes_change_nothing(short_run: Path, tiles: Path, tmp_path: Path) -> None:
    """They read ahead of the step at which the run is stopped, and goes on without them."""
    stopped_at(3, tiles, tmp_path / "run", tiny_config(**SHORT, workers=2))
    train(tiles, tmp_path / "run", tiny_config(**SHORT), resume=True)
    same_run(tmp_path / "run", short_run)


LONG: dict[str, Any] = {"epochs": 5, "batch_size": 4, "log_steps": 1, "save_steps": 3, "keep_epochs": 2}


def command(tiles: Path, run: Path, folder: Path, **changed: Any) -> list[str]:
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny_config(**LONG | changed).to_dict()))
    return ["train", str(tiles), "--out", str(run), "--recipe", str(recipe)]


def wait_for_step(run: Path, step: int, process: ForkServerProcess) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.exitcode is None:
        path = run / "metrics.csv"
        if path.exists() and (rows := read_metrics(path)) and rows[-1]["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached (exit {process.exitcode})")


def assert_saved(code: int | None, said: str, run: Path) -> None:
    """The command ended as one that was stopped, and saved the step that it names."""
    assert code == 75
    saved = load(run)["global_step"]
    assert said.splitlines() == [f"error: stopped early at step {saved}, and saved; go on with --resume"]
    assert (run / "curves.png").is_file()


class Raiser:
    """Raises a signal in this process when a step, or a later one, has ended."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step, self.raised = number, step, 0

    def step_done(self, step: int) -> None:
        if step >= self.step and not self.raised:
            self.raised = step
            signal.raise_signal(self.number)


def test_killed_terminated_and_interrupted_it_goes_on_exactly(
    tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL to a process, SIGTERM and SIGINT to this one, of a run of 20 steps."""
    run = tmp_path / "run"
    arguments = command(tiles, run, tmp_path)
    process = start_command(*arguments, errors=tmp_path / "errors.txt")
    wait_for_step(run, 4, process)  # after the checkpoint of step 3
    process.kill()
    process.join()
    # whatever was in hand, no half file has the name of a checkpoint
    for path in (run / "checkpoints").glob("[!.]*.ckpt"):
        torch.load(path, weights_only=True)

    restarted = {"SLURM_RESTART_COUNT": "1"}  # as Slurm starts a requeued job: same command
    for number, at, how in ((signal.SIGTERM, 13, ["--resume"]), (signal.SIGINT, 17, [])):
        raiser = Raiser(number, at)
        with monkeypatch.context() as patch:
            patch.setattr(PlainTraining, "step_done", lambda _, step, to=raiser: to.step_done(step))
            stopped = invoke(*arguments, *how, env={} if how else restarted)
        assert_saved(stopped.returncode, stopped.stderr, run)
        assert load(run)["global_step"] == raiser.raised

    assert invoke(*arguments, env=restarted).returncode == 0
    train(tiles, tmp_path / "undisturbed", tiny_config(**LONG))
    same_run(run, tmp_path / "undisturbed")
    kept = sorted(p.name for p in (run / "checkpoints").glob("epoch-*.ckpt"))
    assert kept == ["epoch-0002.ckpt", "epoch-0004.ckpt"]


def test_a_signal_to_all_processes_of_a_run_saves_it(tiles: Path, tmp_path: Path) -> None:
    """As `kill -TERM -- -PGID`, `timeout` or a scheduler do: the decoding process gets the signal, too."""
    run = tmp_path / "run"
    # so many epochs that it cannot end before the signals come
    arguments = [*command(tiles, run, tmp_path, epochs=1000), "--workers", "1"]
    process = start_command(*arguments, errors=tmp_path / "errors.txt", env={"SLURM_JOB_ID": "1"})
    wait_for_step(run, 2, process)
    assert process.pid is not None
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM):
        os.killpg(process.pid, number)
    process.join(120)
    assert_saved(process.exitcode, (tmp_path / "errors.txt").read_text(), run)


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
