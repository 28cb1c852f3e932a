"""kill -9 at random moments, again and again: nothing is lost but the slide in hand, nothing is corrupted."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import COMMAND, make_model, make_slides, run, tree

KILLS = 30


@pytest.mark.timeout(600)
def test_thirty_kills_then_resume_equal_an_undisturbed_run(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=4, side=600)
    model = make_model(tmp_path / "model")
    args = [str(slides), "--model", str(model), "--batch-size", "8", "--overlap", "16"]
    _, duration = start_and_kill([*args, "--out", str(tmp_path / "calm.zarr")], after=None)
    expected = tree(tmp_path / "calm.zarr")

    rng = random.Random(0)
    kills = rounds = partial = 0
    while kills < KILLS:
        out = tmp_path / f"{rounds}.zarr"
        rounds += 1
        killed = True
        while killed:
            after = rng.uniform(0, 0.8 * duration) if kills < KILLS else None
            killed, _ = start_and_kill([*args, "--out", str(out)], after)
            kills += killed
            if killed and (out / "zarr.json").exists():
                # whatever is readable after a kill is whole
                assert wsi_embed.verify(out) == []
                partial += bool(wsi_embed.open_store(out).incomplete())
        assert tree(out) == expected
    assert partial > 0, "no kill ever hit a slide in hand: the test tests nothing"


def start_and_kill(args: list[str], after: float | None) -> tuple[bool, float]:
    """Run a job and kill it so many seconds after it began its slides; None lets it end.

    Returns:
        Whether it was killed, and the seconds from its beginning to its end.
    """
    with subprocess.Popen([*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"slides to look at" in process.stdout.readline()
        began = time.monotonic()
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait(120)
        assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
        return process.returncode != 0, time.monotonic() - began


def test_disk_full_fails_clean_and_resumes(tmp_path: Path) -> None:
    """A limit on file size makes every write of features fail as a full disk does (EFBIG for ENOSPC)."""
    slides = make_slides(tmp_path / "slides", count=2, side=700)
    model = make_model(tmp_path / "model", dim=256)
    out = tmp_path / "f.zarr"
    args = [*map(str, [slides, "--model", model, "--out", out])]

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run([*COMMAND, *args], capture_output=True, text=True, preexec_fn=no_room, check=False)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert full.stdout.count("cannot be written") == 2
    assert wsi_embed.open_store(out).slide_ids == []
    assert run(*args).returncode == 0
    assert wsi_embed.verify(out) == []
    assert len(wsi_embed.open_store(out)) == 2


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root on Linux")
def test_really_full_disk(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=2, side=700)
    model = make_model(tmp_path / "model", dim=256)
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        done = run(slides, "--model", model, "--out", small / "f.zarr")
        assert done.returncode == 1, done.stderr
        assert "No space left on device" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        # what fitted is whole, what did not is not there
        assert wsi_embed.verify(small / "f.zarr") == []
        assert len(wsi_embed.open_store(small / "f.zarr")) < 2
    finally:
        subprocess.run(["umount", str(small)], check=True)
