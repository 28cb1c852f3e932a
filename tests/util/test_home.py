"""Commands of a user without a home folder, as in containers that run as any number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.job_tools import make_model, make_slides
from wsi_embed.util.home import home

HOMELESS = """
import os, pwd, sys
def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
sys.argv[0] = "wsi-embed"
from wsi_embed.cli import main
main()
"""


def homeless(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HOMELESS, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_home_folder_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path


def test_a_job_runs_without_a_home_folder(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=2, side=300), make_model(tmp_path / "model")
    (slides / "broken.svs").write_bytes(os.urandom(100))
    done = homeless(slides, "--out", tmp_path / "f.zarr", "--model", model)
    assert "Traceback" not in done.stdout + done.stderr
    assert "2 done, 1 failed" in done.stdout


@pytest.mark.parametrize("command", [("doctor",), ("s3://bucket/x.svs", "--out", "x.zarr")])
def test_other_commands_have_no_traceback(command: tuple[str, ...], tmp_path: Path) -> None:
    done = homeless(*command)
    assert "Traceback" not in done.stdout + done.stderr
