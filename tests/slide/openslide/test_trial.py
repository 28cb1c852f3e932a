from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from openslide import lowlevel

import wsi_embed
from tests.job_tools import make_model
from tests.made_formats.hamamatsu import write_vms, write_vmu
from tests.made_formats.mirax import write_mirax
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import SlideError
from wsi_embed.slide import open_slide
from wsi_embed.slide.openslide import open_apart, trial

PIXELS = he_pixels(512, 512)


def replaced(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def many_rows(folder: Path) -> Path:
    """VMS with a billion rows of images: OpenSlide aborts for want of memory."""
    path = write_vms(folder / "a.vms", PIXELS)
    replaced(path, b"NoJpegRows=1\n", b"NoJpegRows=1000000000\n")
    return path


def many_files(folder: Path) -> Path:
    """MIRAX with a billion data files: OpenSlide aborts for want of memory."""
    path = write_mirax(folder / "a.mrxs", PIXELS)
    replaced(folder / "a" / "Slidedat.ini", b"FILE_COUNT = 1", b"FILE_COUNT = 1000000000")
    return path


def many_levels(folder: Path) -> Path:
    """MIRAX with two billion levels: OpenSlide aborts for want of memory."""
    path = write_mirax(folder / "a.mrxs", PIXELS)
    inside = folder / "a" / "Slidedat.ini"
    inside.write_bytes(re.sub(rb"HIER_0_COUNT = \d+", b"HIER_0_COUNT = 2147483647", inside.read_bytes()))
    return path


MALFORMED = [many_rows, many_files, many_levels]


@pytest.mark.parametrize("make", MALFORMED)
def test_a_file_that_ends_openslide_fails_by_name(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(
        SlideError, match=r"a\.(vms|mrxs): the file is malformed: opening it ends OpenSlide \(SIG"
    ):
        open_slide(make(tmp_path))


def test_the_other_slides_of_a_job_are_done(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    many_rows(tmp_path / "bad")
    write_tiff(tmp_path / "good.tif", PIXELS, levels=(1,))
    report = wsi_embed.embed(
        [tmp_path / "bad" / "a.vms", tmp_path / "good.tif"], tmp_path / "f.zarr",
        model=make_model(tmp_path), tissue="none", mpp_default=0.5,
    )  # fmt: skip
    assert {s.slide: s.status for s in report.slides} == {"a.vms": "failed", "good.tif": "done"}


@pytest.mark.parametrize("write", [write_vms, write_vmu, write_mirax])
def test_slides_of_formats_that_are_tried_open_as_before(
    write: Callable[[Path, object], Path], tmp_path: Path
) -> None:
    suffix = write.__name__.removeprefix("write_").replace("mirax", "mrxs")
    with open_slide(write(tmp_path / f"a.{suffix}", PIXELS)) as slide:
        assert slide.level_sizes[0] == (512, 512)


def test_a_file_is_tried_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    run = subprocess.run

    def counted(command: list[str], **options: object) -> object:
        started.append(command)
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", counted)
    path = write_vms(tmp_path / "a.vms", PIXELS)
    for _ in range(3):
        trial.check_opens(path)
    assert len(started) == 1
    path.write_bytes(path.read_bytes() + b"\n")
    trial.check_opens(path)
    assert len(started) == 2


def test_a_file_that_takes_too_long_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("while True: pass")
    monkeypatch.setattr(open_apart, "__file__", str(slow))
    monkeypatch.setattr(trial, "SECONDS", 0.1)
    path = write_vms(tmp_path / "a.vms", PIXELS)
    with pytest.raises(SlideError, match="OpenSlide does not open it within"):
        trial.check_opens(path)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_CPU"), reason="needs a limit on processor time")
def test_a_file_whose_pixels_take_too_long_fails_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MIRAX with images a billion pixels apart, as it says, opens at once but is not read for minutes."""
    path = write_mirax(tmp_path / "a.mrxs", PIXELS)
    inside = tmp_path / "a" / "Slidedat.ini"
    inside.write_bytes(re.sub(rb"OVERLAP_Y = \S+", b"OVERLAP_Y = -1000000000", inside.read_bytes(), count=1))
    monkeypatch.setattr(trial, "READ_SECONDS", 1)
    with pytest.raises(SlideError, match="or read a few pixels within 1 s; is it complete"):
        open_slide(path)


def test_the_program_keeps_to_lower_limits_of_the_system(tmp_path: Path) -> None:
    """A hard limit below the trial's own must not end it: `ulimit -v` of a batch system."""
    path = write_vms(tmp_path / "a.vms", PIXELS)

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))

    command = [sys.executable, "-I", "-S", str(open_apart.__file__), lowlevel._lib._name, str(path)]
    done = subprocess.run(
        [*command, str(2**32), "20", "3"], preexec_fn=lower, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
