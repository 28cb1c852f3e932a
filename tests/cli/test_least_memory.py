"""Limits on address space in which libraries would wait for memory for ever."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.job_tools import make_model, make_slides
from wsi_embed.cli.least_memory import LEAST, check_memory
from wsi_embed.errors import WsiEmbedError


def run(arguments: list[str], mib: int) -> subprocess.CompletedProcess[str]:
    """Run a command within a limit on address space."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mib * 2**20, mib * 2**20))

    command = [sys.executable, "-m", "wsi_embed", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=limited
    )


@pytest.mark.parametrize("command", [["slides/", "--out", "f.zarr"], ["cluster", "f.zarr"], ["eval", "mil"]])
def test_too_little_is_one_line(command: list[str]) -> None:
    done = run(command, 450)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: not enough memory: 450 MiB of address space, and ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("limit", "command"), [(None, "eval"), (LEAST["eval"] * 2**20, "eval"), (1, "info")])
def test_other_commands_and_limits_go_on(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, command: str
) -> None:
    monkeypatch.setattr("wsi_embed.cli.least_memory.memory_limit", lambda: limit)
    check_memory([command])
    check_memory([])


def test_one_byte_less_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_embed.cli.least_memory.memory_limit", lambda: LEAST["eval"] * 2**20 - 1)
    with pytest.raises(WsiEmbedError, match="eval takes 900 or more"):
        check_memory(["eval", "mil"])


def test_a_job_within_little_memory_is_done(tmp_path: Path) -> None:
    slides, model = make_slides(tmp_path / "slides", count=2, side=200), make_model(tmp_path)
    done = run(["embed", str(slides), "--out", str(tmp_path / "f.zarr"), "--model", str(model)], 2000)
    assert done.returncode == 0, done.stdout + done.stderr
