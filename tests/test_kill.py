"""kill -9, at chosen writes and at random: nothing is lost but the slide in hand, nothing is corrupted."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import COMMAND, invoke, make_model, make_slides, named, no_room, tree
from tests.killed import killed

KILLS = 4


def test_killed_at_every_third_write_and_resumed(tmp_path: Path) -> None:
    faulthandler.enable()  # else the record of crashes is left by this process, which lives on
    slides = make_slides(tmp_path / "slides", count=2, side=140)
    model = make_model(tmp_path / "model")
    out = tmp_path / "f.zarr"

    def embed(out: Path) -> None:
        assert wsi_embed.embed(slides, out, model=model, batch_size=8).exit_code == 0

    write, found = 1, set()
    while killed(out, write, lambda: embed(out)):
        write += 3
        if (out / "zarr.json").exists():
            # whatever is readable after a kill is whole
            assert wsi_embed.verify(out) == []
            store = wsi_embed.open_store(out)
            found.add((len(store), len(store.incomplete())))
    embed(tmp_path / "calm.zarr")
    wsi_embed.finalize(out)
    (out / "index.json").unlink()  # it holds the times of the files
    assert named(out) == tree(tmp_path / "calm.zarr")
    assert any(complete and in_hand for complete, in_hand in found), "no kill hit a second slide"
    assert write > 100


def test_kills_at_random_then_resume_equal_an_undisturbed_run(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=4, side=600)
    model = make_model(tmp_path / "model")
    args: list[str | Path] = [slides, "--model", model, "--batch-size", "8", "--overlap", "16"]
    began = time.monotonic()
    assert invoke(*args, "--out", tmp_path / "calm.zarr").returncode == 0
    duration = time.monotonic() - began

    rng, out = random.Random(0), tmp_path / "f.zarr"
    kills = partial = 0
    for number in range(KILLS):
        # anywhere in the job, or in a slide
        after = rng.uniform(0, 0.4 * duration) if number % 2 else rng.uniform(0, duration / 8)
        kills += start_and_kill([*args, "--out", out], out, after, in_slide=number % 2 == 0)
        # whatever is readable after a kill is whole
        assert wsi_embed.verify(out) == []
        partial += bool(wsi_embed.open_store(out).incomplete())
    assert invoke(*args, "--out", out).returncode == 0
    assert tree(out) == tree(tmp_path / "calm.zarr")
    assert kills > 1
    assert partial > 0, "no kill ever hit a slide in hand: the test tests nothing"


def start_and_kill(args: list[str | Path], out: Path, after: float, in_slide: bool) -> bool:
    """Run a job and kill it so many seconds after it began its slides, or after it began the next one.

    Returns:
        Whether it was killed: it may have been faster.
    """
    before = documents(out)
    with subprocess.Popen(
        [*COMMAND, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b" slides; " in process.stdout.readline()
        while in_slide and process.poll() is None and documents(out) == before:
            time.sleep(0.002)
        time.sleep(after)
        process.kill()
        process.wait(120)
        assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
        return process.returncode != 0


def documents(out: Path) -> dict[Path, int]:
    """When the slides' documents were written."""
    found = {}
    for path in out.glob("*/zarr.json"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def test_disk_full_fails_clean_and_resumes(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=2, side=700)
    model = make_model(tmp_path / "model", dim=256)
    out = tmp_path / "f.zarr"
    args: list[str | Path] = [slides, "--model", model, "--out", out]
    with no_room(20_000):
        full = invoke(*args)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert full.stdout.count("cannot be written") == 2
    assert wsi_embed.open_store(out).slide_ids == []
    assert invoke(*args).returncode == 0
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
        done = invoke(slides, "--model", model, "--out", small / "f.zarr")
        assert done.returncode == 1, done.stderr
        assert "No space left on device" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        # what fitted is whole, what did not is not there
        assert wsi_embed.verify(small / "f.zarr") == []
        assert len(wsi_embed.open_store(small / "f.zarr")) < 2
    finally:
        subprocess.run(["umount", str(small)], check=True)
