"""One writer a slide: against a real second process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import make_model, make_slides
from wsi_embed.errors import SlideError
from wsi_embed.store.lock import slide_lock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="open file description locks are Linux's")

HOLD = """
import sys
from pathlib import Path
from wsi_embed.store.lock import slide_lock
with slide_lock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(store: Path, slide_id: str) -> subprocess.Popen[str]:
    """Another process that holds a slide until its input ends or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store), slide_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_slide_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=3)
    model = make_model(tmp_path / "model")
    out = tmp_path / "f.zarr"
    wsi_embed.embed(slides / "s0.tif", out, model=model)
    with hold(out, "s2") as other:
        report = wsi_embed.embed(slides, out, model=model)
        other.kill()
    failed = {s.slide_id: s.reason for s in report.slides if s.status == "failed"}
    assert failed.keys() == {"s2"}
    assert "another process is writing it" in str(failed["s2"])
    # the kernel has freed the lock with its owner
    assert wsi_embed.embed(slides, out, model=model).count("done") == 1


def test_reading_the_root_does_not_free_a_lock(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    with slide_lock(tmp_path, "a"):
        (tmp_path / "zarr.json").read_text()
        with pytest.raises(SlideError), slide_lock(tmp_path, "a"):
            pass
        with slide_lock(tmp_path, "b"):
            pass


def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    for _ in range(2):
        with slide_lock(tmp_path, "a"):
            pass
