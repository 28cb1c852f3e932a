from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.made_slides import he_pixels, write_tiff
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.jobs.crashes import FOLDER, CrashRecord

# Tiles a folder; a slide whose name begins with `bad` ends the process by a segmentation fault.
PROGRAM = """
import ctypes, json, sys
import wsi_embed
from wsi_embed.jobs import slide_steps

plan = slide_steps.plan_slide
def plan_or_end(item, *rest):
    if item.name.startswith("bad"):
        ctypes.string_at(0)
    return plan(item, *rest)
slide_steps.plan_slide = plan_or_end
report = wsi_embed.tile(sys.argv[1], sys.argv[2], tile_px=32, tissue="none", workers=8)
print(json.dumps({s.slide: [s.status, str(s.reason)] for s in report.slides}))
"""


def run(slides: Path, out: Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, slides, out], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONFAULTHANDLER": ""},
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else {}


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a", "bad", "c", "d"):
        write_tiff(folder / f"{name}.tif", he_pixels(64, 64), levels=(1,), mpp=0.5)
    return folder


def test_a_slide_that_ends_the_process_twice_is_skipped_and_the_others_are_done(
    slides: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiles"
    assert [run(slides, out)[0] for _ in range(2)] == [-signal.SIGSEGV] * 2
    code, found = run(slides, out)
    assert code == 0
    assert {name: status for name, (status, _) in found.items() if name != "bad.tif"} == dict.fromkeys(
        ("a.tif", "c.tif", "d.tif"), "skipped"
    )  # the second run did them before the suspect
    status, reason = found["bad.tif"]
    assert status == "failed"
    assert (
        "bad.tif: it ended the process 2 times, so it is not read again; replace it by a whole copy" in reason
    )
    write_tiff(slides / "bad.tif", he_pixels(96, 96), levels=(1,), mpp=0.5)
    assert run(slides, out)[0] == -signal.SIGSEGV  # another file of this name is tried


def record(out: Path, name: str, *lines: str) -> None:
    (out / FOLDER).mkdir(exist_ok=True)
    (out / FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def test_records_of_processes_that_were_killed_do_not_count(tmp_path: Path) -> None:
    """SIGKILL is the user's or the scheduler's, and says nothing about a slide."""
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    host, pid = os.uname().nodename, int(ended.stdout)
    record(tmp_path, f"{host}-{pid}-1", "begin 'a'")
    record(tmp_path, f"{host}-{os.getpid()}-2", "begin 'b'")
    record(tmp_path, "elsewhere-7-3", "begin 'c'")
    record(tmp_path, f"{host}-{pid}-4", "begin 'd'", "begin 'e'", "end 'd'", "Fatal Python error: Aborted")
    crashes = CrashRecord(tmp_path)
    assert crashes.counts == {"'e'": 1}
    assert [path.name for path in sorted((tmp_path / FOLDER).iterdir())] == sorted(
        [f"{host}-{os.getpid()}-2.txt", "elsewhere-7-3.txt", f"{host}-{pid}-4.txt"]
    )
    missing = [SlideInput(name, tmp_path / name, name) for name in "de"]
    assert [item.slide_id for item in crashes.suspects(missing)] == ["e"]


def test_a_job_that_ends_in_good_order_leaves_nothing(slides: Path, tmp_path: Path) -> None:
    (slides / "bad.tif").unlink()
    out = tmp_path / "tiles"
    assert run(slides, out)[0] == 0
    assert not (out / FOLDER).exists()
