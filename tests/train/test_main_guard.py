"""Scripts that train with decoding processes, with and without a guard of their main part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING = """
from tests.made_models import tiny_config
from wsi_embed_train import train
"""
CALL = "train({tiles!r}, {run!r}, tiny_config(epochs=1, workers={workers}))"


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    script = folder / "my_training.py"
    script.write_text(TRAINING + text)
    where = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])  # of the package `tests`
    return subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": where},
    )


def call(tiles: Path, run: Path, workers: int = 1) -> str:
    return CALL.format(tiles=str(tiles), run=str(run), workers=workers)


def test_a_script_without_a_guard_is_told_what_to_do(tiles: Path, tmp_path: Path) -> None:
    done = run_script(tmp_path, f"\n{call(tiles, tmp_path / 'run')}\n")
    last = done.stderr.splitlines()[-1]
    assert "my_training.py, line 5: decoding processes import this script again" in last
    assert "if __name__ == '__main__'" in last
    assert done.stderr.count("Traceback") == 1  # not once more from each process
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "template",
    [
        "if __name__ == '__main__':\n    {}\n",
        "def main():\n    {}\nif __name__ == '__main__':\n    main()\n",
    ],
)
def test_a_script_with_a_guard_trains(template: str, tiles: Path, tmp_path: Path) -> None:
    done = run_script(tmp_path, template.format(call(tiles, tmp_path / "run")))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_a_script_without_processes_needs_no_guard(tiles: Path, tmp_path: Path) -> None:
    done = run_script(tmp_path, call(tiles, tmp_path / "run", workers=0))
    assert done.returncode == 0, done.stderr
