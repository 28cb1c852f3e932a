"""A resumed run takes its own settings, and a run knows the resolution of its tiles."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.job_tools import COMMAND, invoke
from tests.made_models import tiny_config
from tests.train.test_resume import stopped_at
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import ModelError
from wsi_embed_train import train


def test_resume_takes_the_settings_of_the_run(tiles: Path, tmp_path: Path) -> None:
    config = tiny_config("clusiam", epochs=2, batch_size=4, alpha=0.25)
    stopped_at(2, tiles, tmp_path / "run", config)
    done = invoke("train", tiles, "--out", tmp_path / "run", "--resume")
    assert done.returncode == 0, done.stderr
    used = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert used == config.to_dict()
    assert "going on after step 2" in done.stdout


def test_resume_still_refuses_other_settings(tiles: Path, tmp_path: Path) -> None:
    stopped_at(2, tiles, tmp_path / "run", tiny_config(epochs=2, batch_size=4))
    other = invoke("train", tiles, "--out", tmp_path / "run", "--resume", "--batch-size", "8")
    assert other.returncode == 2
    assert "was trained with batch_size = 4, not 8" in other.stderr
    recipe = invoke("train", tiles, "--out", tmp_path / "run", "--resume", "--recipe", "simclr")
    assert "was trained with method = clubyol, not simclr" in recipe.stderr


def test_resume_of_nothing_is_one_line(tiles: Path, tmp_path: Path) -> None:
    done = invoke("train", tiles, "--out", tmp_path / "run", "--resume")
    assert done.returncode == 2
    assert done.stderr.endswith("nothing to resume: there is no last.ckpt in checkpoints/\n")


@pytest.mark.parametrize("mpps", [["0.5"], ["0.5", "0.25"]])
def test_a_run_learns_the_resolution_from_its_table(mpps: list[str], tiles: Path, tmp_path: Path) -> None:
    paths = sorted(tiles.rglob("*.png"))
    with (tmp_path / "tiles.csv").open("w", newline="") as file:
        rows = [[path, mpps[n % len(mpps)]] for n, path in enumerate(paths)]
        csv.writer(file).writerows([["path", "mpp"], *rows])
    train(str(tmp_path / "tiles.csv"), str(tmp_path / "run"), tiny_config(epochs=1))
    done = invoke("export", tmp_path / "run", "--out", tmp_path / "m.ts")
    assert done.returncode == 0, done.stderr
    if len(mpps) == 1:
        assert load_encoder(tmp_path / "m.ts").metadata.mpp == 0.5
    else:
        assert "its resolution is not known" in done.stdout


@pytest.mark.parametrize("name", ["", "checkpoints/last.ckpt"])
def test_a_run_given_as_model_is_told_to_be_exported(name: str, finished_run: Path, tmp_path: Path) -> None:
    given = finished_run / name
    with pytest.raises(ModelError) as error:
        load_encoder(given)
    assert error.value.remedy == f"export it first: wsi-embed export {given} --out model.onnx"
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "a.svs").touch()
    done = invoke(tmp_path / "slides", "--out", tmp_path / "f.zarr", "--model", given)
    assert done.returncode == 2
    assert "export it first" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_is_one_line(number: int, tiles: Path, tmp_path: Path) -> None:
    flags = ["--tile-px", "32", "--batch-size", "8", "--workers", "1", "--devices", "cpu", "--epochs", "500"]
    typed = [*COMMAND, "train", str(tiles), "--out", str(tmp_path / "run"), *flags]
    process = subprocess.Popen(
        typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    (line,) = errors.splitlines()
    assert line.startswith("error: stopped ")
