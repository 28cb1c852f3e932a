from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_slides import he_pixels, write_tiff
from wsi_embed.cli.lasting_output import LastingOutput


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a", "\u75c5\u7406", "c"):
        write_tiff(folder / f"{name}.tif", he_pixels(64, 64), levels=(1,), mpp=0.5)
    return folder


def tile(slides: Path, out: Path, *more: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-m",
        "wsi_embed",
        "tile",
        slides,
        "--out",
        out,
        "--tile-px",
        "32",
        "--tissue",
        "none",
    ]
    return subprocess.run([*command, *more], check=False, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("more", [[], ["--log-json"]])
def test_a_full_disk_behind_the_output_does_not_end_the_job(
    slides: Path, tmp_path: Path, more: list[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        done = tile(slides, tmp_path / "out", *more, stdout=full)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len((tmp_path / "out" / "tiles.csv").read_text().splitlines()) == 1 + 3 * 4


@pytest.mark.parametrize("more", [[], ["--log-json"]])
def test_a_closed_pipe_does_not_end_the_job(slides: Path, tmp_path: Path, more: list[str]) -> None:
    """As with `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = tile(slides, tmp_path / "out", *more, stdout=pipe)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out" / "tiles.csv").exists()


def test_names_that_the_output_cannot_encode_are_escaped(slides: Path, tmp_path: Path) -> None:
    long = slides / f"{chr(0x75C5) * 27}.txt"
    long.write_text("not a slide, and not looked at")
    bad = slides / "\u75c5.tif"
    bad.write_text("not a slide")
    done = tile(
        slides, tmp_path / "out", stdout=subprocess.PIPE, env=os.environ | {"PYTHONIOENCODING": "latin-1"}
    )
    assert done.returncode == 1
    assert done.stderr == b""
    assert b"failed: " in done.stdout
    assert rb"\u75c5.tif" in done.stdout


def test_what_can_be_written_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        output = LastingOutput(file)
        assert output.write("abc") == 3
        output.flush()
        assert output.fileno() == file.fileno()
    assert (tmp_path / "log").read_text() == "abc"
