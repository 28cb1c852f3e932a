"""`wsi-embed tile`: exit codes, reports, full disks; signals and kills in processes of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import COMMAND, invoke, make_slides, named, no_room, tree
from tests.killed import killed
from tests.made_slides import he_pixels, write_tiff
from wsi_embed_train.data.sources import find_source

KILLS = 2
KILLED = ("--overlap", "20", "--workers", "1")


def find_tiles(table: Path) -> list[Path]:
    """What training takes from a table."""
    source = find_source(table)
    assert not source.slides
    return sorted(source.root / name for name in source.images)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return make_slides(tmp_path / "slides", count=2, side=400)


def args_of(slides: Path, out: Path, *more: str | Path) -> list[str | Path]:
    return ["tile", slides, "--out", out, "--tile-px", "32", *more]


def test_lines_table_and_exit_codes(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    done = invoke(*args_of(slides, out))
    assert done.returncode == 0, done.stderr
    assert "2 slides; tiles of 32 px at 0.5 um per pixel, as PNG" in done.stdout
    assert "[1/2] batch 2/s1.svs: " in done.stdout
    assert "demonstration" not in done.stdout
    assert f"tiles.csv lists {len(list(out.rglob('*.png')))} tiles of 2 slides" in done.stdout
    again = invoke(*args_of(slides, out))
    assert again.returncode == 0
    assert "nothing to do: 2 slides complete in tiles already" in again.stdout
    (slides / "empty.svs").touch()
    bad = invoke(*args_of(slides, out))
    assert bad.returncode == 1
    assert len([line for line in bad.stdout.splitlines() if "] empty: failed: " in line]) == 1
    assert "Traceback" not in bad.stdout + bad.stderr


def test_training_takes_the_table(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    assert invoke(*args_of(slides, out, "--format", "jpeg", "--max-tiles", "7")).returncode == 0
    assert find_tiles(out / "tiles.csv") == sorted(out.rglob("*.jpg"))
    assert len(find_tiles(out / "tiles.csv")) == 14


def test_wrong_usage_is_one_line_and_exit_2(tmp_path: Path) -> None:
    for name in ("a/x.tif", "b/x.svs"):
        (tmp_path / name).parent.mkdir()
        write_tiff(tmp_path / name, he_pixels(64, 64))
    cases: dict[str, list[str | Path]] = {
        "two slides have the id 'x'": [tmp_path / "a/x.tif", tmp_path / "b/x.svs"],
        "neither in .json nor": [tmp_path / "a/x.tif", "--report", tmp_path / "r.txt"],
    }
    for text, args in cases.items():
        done = invoke("tile", *args, "--out", tmp_path / "tiles")
        assert done.returncode == 2, (text, done.stderr)
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "tiles").exists()


def test_reports_and_log(slides: Path, tmp_path: Path) -> None:
    (slides / "empty.svs").touch()
    reports = [tmp_path / "r.json", tmp_path / "r.html"]
    done = invoke(
        *args_of(slides, tmp_path / "tiles", "--log-json", *(x for r in reports for x in ("--report", r)))
    )
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events if e["event"] != "slide_started"] == [
        "job_started", "slide_finished", "slide_finished", "slide_finished", "note", "job_finished",
    ]  # fmt: skip
    report = json.loads(reports[0].read_text())
    assert report["summary"]["done"] == 2
    assert report["settings"].items() >= {"tile_px": 32, "mpp": 0.5, "format": "png", "overlap": 0}.items()
    assert report["notes"][0].startswith("tiles.csv lists")
    page = reports[1].read_text()
    assert "s0" in page
    assert "None" not in page.partition("<h2>Settings")[0]
    assert str(tmp_path) not in done.stdout + page + reports[0].read_text()


def test_options_can_come_from_the_environment(slides: Path, tmp_path: Path) -> None:
    env = {"WSI_EMBED_OUT": str(tmp_path / "tiles"), "WSI_EMBED_TILE_PX": "32", "WSI_EMBED_MAX_TILES": "3"}
    assert invoke("tile", slides, env=env).returncode == 0
    assert len(list((tmp_path / "tiles").rglob("*.png"))) == 6


def test_sigterm_exits_75_soon_and_resume_goes_on(tmp_path: Path) -> None:
    slides, out = make_slides(tmp_path / "many", count=2, side=700), tmp_path / "tiles"
    args = args_of(slides, out, "--overlap", "20")
    process = subprocess.Popen([*COMMAND, *map(str, args)], stdout=subprocess.PIPE, text=True)
    while not list(out.glob(".*~/*.png")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    stdout, _ = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 75
    assert "run the same command again" in stdout
    assert not list(out.glob(".*~*"))
    assert invoke(*args).returncode == 0
    assert {path.parent.name for path in find_tiles(out / "tiles.csv")} == {"batch%202__s1", "s0"}


def test_killed_at_every_second_write_and_resumed(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=2, side=200)
    calm, out = tmp_path / "calm", tmp_path / "tiles"

    def tile(out: Path) -> None:
        assert wsi_embed.tile(slides, out, tile_px=32, max_tiles=6).exit_code == 0

    tile(calm)
    expected, write, partial = tree(calm), 1, 0
    while killed(out, write, lambda: tile(out)):
        write += 2
        partial += bool(list(out.glob(".*~/*.png")))
        assert_whole(out, expected)
    assert named(out) == expected
    assert partial > 0, "no kill hit a slide in hand: the test tests nothing"


def test_kills_at_random_then_resume_equal_an_undisturbed_run(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=2, side=500)
    calm, out = tmp_path / "calm", tmp_path / "tiles"
    assert invoke(*args_of(slides, calm, *KILLED)).returncode == 0
    expected = tree(calm)
    rng, partial = random.Random(0), 0
    for _ in range(KILLS):
        run_and_kill(slides, out, rng.uniform(0, 0.1))
        partial += bool(list(out.glob(".*~/*.png")))
        assert_whole(out, expected)
    assert invoke(*args_of(slides, out, *KILLED)).returncode == 0
    assert tree(out) == expected
    assert partial > 0, "no kill ever hit a slide in hand: the test tests nothing"


def assert_whole(out: Path, expected: dict[str, bytes]) -> None:
    """Whatever has its name has all its files."""
    complete = {path.name for path in out.glob("*") if path.is_dir() and "~" not in path.name}
    for name in (name for name in expected if name.partition("/")[0] in complete):
        assert (out / name).read_bytes() == expected[name]


def run_and_kill(slides: Path, out: Path, after: float) -> None:
    """Run a job and kill it so many seconds after its first tile."""
    command = [*COMMAND, *map(str, args_of(slides, out, *KILLED))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        known = set(out.glob(".*~/*.png"))
        while process.poll() is None and not set(out.glob(".*~/*.png")) - known:
            time.sleep(0.01)
        time.sleep(after)
        process.kill()
        process.wait(60)
        assert process.returncode in (0, -signal.SIGKILL)


def test_disk_full_fails_clean_and_resumes(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    args = args_of(slides, out, "--tissue", "none")
    with no_room(1_500):
        full = invoke(*args)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    lines = [line for line in full.stdout.splitlines() if "failed: tiles/" in line]
    assert len(lines) == 2
    assert all("cannot be written (File too large); free some space" in line for line in lines)
    assert sorted(p.name for p in out.iterdir()) == [".wsi-embed-tiles", "tiles.csv"]
    assert invoke(*args).returncode == 0
    assert len(find_tiles(out / "tiles.csv")) > 100


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root on Linux")
def test_really_full_disk(slides: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        done = invoke(*args_of(slides, small / "tiles", "--tissue", "none"))
        assert done.returncode == 1, done.stderr
        assert "No space left on device" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert not list((small / "tiles").glob(".*~*"))
    finally:
        subprocess.run(["umount", str(small)], check=True)
