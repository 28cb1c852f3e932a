"""Every bad slide is one clear line; the others go on, and nothing half-written can be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

import wsi_embed
from tests.job_tools import invoke, make_model, no_room, run, tree
from tests.made_formats.mirax import write_mirax
from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed.jobs.listener import Listener
from wsi_embed.jobs.report import JobReport

REPO = Path(__file__).parents[1]
TILE = 32  # of the tiny model

# What each slide's single line has to say: what is wrong, and what to do.
BAD = {
    "missing": ("no such file", "check the path"),
    "empty": ("the file is empty", "copy it again"),
    "text": ("not a slide", "extension"),
    "truncated": ("it ends before byte", "copy it again"),
    "corrupt": ("cannot be read", "copy it again"),
    "no_mpp": ("does not say its resolution", "--mpp-default"),
    "absurd_mpp": ("outside 0.05 to 20", "--mpp-override"),
    "coarse": ("coarser than", "--mpp 4"),
    "small": ("smaller than one tile", "--edge pad"),
    "lonely": ("not a slide without its folder lonely/", "copy both"),
    "folder": ("is a folder", "check the path"),
    "empty_roi": ("holds no polygon", "ROI"),
    "other_roi": ("outside the slide", "another slide"),
    "broken_roi": ("not GeoJSON", "export"),
    "missing_roi": ("cannot be read", "roi"),
}


def corrupt_a_tile(path: Path, number: int) -> Path:
    """Overwrite one compressed tile of level 0: as a bad sector leaves it."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0].aspage()
        offset, size = page.dataoffsets[number], page.databytecounts[number]
    with path.open("r+b") as data:
        data.seek(offset)
        data.write(bytes(size))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good slides and every bad one, in a manifest whose order mixes them."""
    root = tmp_path_factory.mktemp("bad")
    pixels = he_pixels(500, 600, seed=2)
    write_tiff(root / "good_a.tif", pixels)
    write_svs(root / "good_z.svs", pixels, mpp=0.5)
    (root / "empty.svs").touch()
    (root / "text.svs").write_text("hello")
    whole = write_tiff(root / "whole.tif", pixels).read_bytes()
    (root / "truncated.tif").write_bytes(whole[: len(whole) * 2 // 3])
    corrupt_a_tile(write_tiff(root / "corrupt.tif", pixels, compression="jpeg", levels=(1, 4)), 4)
    write_tiff(root / "no_mpp.tif", pixels, mpp=None)
    write_tiff(root / "absurd_mpp.tif", pixels, mpp=40.0)
    write_tiff(root / "coarse.tif", pixels, mpp=4.0)
    write_tiff(root / "small.tif", pixels[: TILE - 2])
    (root / "folder").mkdir()
    square = {"type": "Polygon", "coordinates": [[[9e5, 9e5], [9.1e5, 9e5], [9.1e5, 9.1e5]]]}
    (root / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (root / "other.geojson").write_text(json.dumps(square))
    (root / "broken.geojson").write_text('{"type": "Polygon", "coordinates": [[[0, 0], [1')
    files = ["missing.svs", "good_a.tif", "empty.svs", "text.svs", "truncated.tif", "corrupt.tif", "folder"]
    shutil.rmtree(write_mirax(root / "lonely.mrxs", pixels[:320, :384]).with_suffix(""))
    files += ["lonely.mrxs", "no_mpp.tif", "absurd_mpp.tif", "coarse.tif", "small.tif", "good_z.svs"]
    rows = [(name, Path(name).stem, "") for name in files]
    rows += [
        ("good_a.tif", f"{roi}_roi", f"{roi}.geojson") for roi in ("empty", "other", "broken", "missing")
    ]
    table = "\n".join(",".join(row) for row in [("path", "slide_id", "roi"), *rows])
    (root / "list.csv").write_text(table + "\n")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def job(folder: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, JobReport, Path]:
    out = tmp_path_factory.mktemp("out")
    done = run(folder / "list.csv", "--out", out / "f.zarr", "--model", model, "--report", out / "r.json")
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    report = json.loads((out / "r.json").read_text())
    return done.stdout, report, out / "f.zarr"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_slide_is_one_clear_line(name: str, job: tuple[str, JobReport, Path], folder: Path) -> None:
    stdout, _, _ = job
    lines = [line for line in stdout.splitlines() if f"] {name}: " in line]
    assert len(lines) == 1
    for words in ("failed: ", *BAD[name]):
        assert words in lines[0]
    assert str(folder) not in lines[0]


def test_the_others_go_on_and_nothing_half_written_can_be_read(
    job: tuple[str, JobReport, Path], folder: Path
) -> None:
    stdout, report, out = job
    store = wsi_embed.open_store(out)
    assert store.slide_ids == ["good_a", "good_z"]
    assert all(len(bag) for bag in store.values())
    assert store.incomplete() == []
    assert wsi_embed.verify(out) == []
    assert "Traceback" not in stdout
    assert f"2 done, {len(BAD)} failed" in stdout
    assert str(folder) not in json.dumps(report)


def test_on_bad_tile_white_goes_on_and_records_which(folder: Path, model: Path, tmp_path: Path) -> None:
    """Against the same slide before it was damaged."""
    pixels = he_pixels(500, 600, seed=2)
    good = write_tiff(tmp_path / "good.tif", pixels, compression="jpeg", levels=(1, 4))
    for path, out in ((good, "good.zarr"), (folder / "corrupt.tif", "white.zarr")):
        done = invoke(path, "--out", tmp_path / out, "--model", model, "--on-bad-tile", "white")
        assert done.returncode == 0, done.stdout
    assert "tiles could not be read and were taken as white" in done.stdout
    whole = wsi_embed.open_store(tmp_path / "good.zarr")["good"]
    white = wsi_embed.open_store(tmp_path / "white.zarr")["corrupt"]
    bad = white.attrs["bad_tiles"]
    np.testing.assert_array_equal(white.coords[:], whole.coords[:])
    x, y = white.coords[:].T
    # the fifth tile of the file: column 1 of 3, row 1 of 2, 256 pixels a side
    touched = (x < 512) & (x + TILE > 256) & (y < 500) & (y + TILE > 256)
    assert bad == np.flatnonzero(touched).tolist()
    same = (white.features[:] == whole.features[:]).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(~same), bad)
    assert whole.attrs["bad_tiles"] == []
    assert wsi_embed.verify(tmp_path / "white.zarr") == []
    again = invoke(folder / "corrupt.tif", "--out", tmp_path / "white.zarr", "--model", model)
    assert again.returncode == 0
    assert "taken as white" in again.stdout, "what is in the store is not forgotten"


def test_unreadable_parts_of_the_only_level_are_looked_at_too(model: Path, tmp_path: Path) -> None:
    """Without a pyramid the tissue mask is made from the damaged level itself."""
    pixels = he_pixels(500, 600, seed=2)
    path = write_tiff(tmp_path / "one.tif", pixels, compression="jpeg", levels=(1,))
    corrupt_a_tile(path, 4)
    assert wsi_embed.embed(path, tmp_path / "f.zarr", model=model).count("failed") == 1
    report = wsi_embed.embed(path, tmp_path / "f.zarr", model=model, on_bad_tile="white")
    assert report.slides[0].bad_tiles == 8 * 7, "all tiles on the compressed one, which the edge cuts"
    bag = wsi_embed.open_store(tmp_path / "f.zarr")["one"]
    assert len(bag) > 56
    drawn = invoke("plot", tmp_path / "f.zarr", "--slides", path, "--out", tmp_path / "p", "--max-px", "200")
    assert drawn.returncode == 0, drawn.stderr


def test_a_slide_damaged_all_over_fails_whatever_the_policy(model: Path, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", he_pixels(500, 600), compression="jpeg", levels=(1, 4))
    for number in range(6):
        corrupt_a_tile(path, number)
    report = wsi_embed.embed(path, tmp_path / "f.zarr", model=model, on_bad_tile="white")
    assert "tiles cannot be read" in str(report.slides[0].reason)
    assert wsi_embed.open_store(tmp_path / "f.zarr").slide_ids == []


@pytest.mark.parametrize("change", ["grows", "is touched", "goes"])
def test_a_file_that_changes_while_it_is_read_fails(change: str, model: Path, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in "ab":
        write_tiff(slides / f"{name}.tif", he_pixels(300, 300))

    class Meddler(Listener):
        def tiles_done(self, slide_id: str, count: int) -> None:
            path = slides / "a.tif"
            if change == "grows":
                with path.open("ab") as data:
                    data.write(b"more")
            elif change == "is touched":
                os.utime(path)
            else:
                path.unlink(missing_ok=True)

    report = wsi_embed.embed(slides, tmp_path / "f.zarr", model=model, listener=Meddler())
    assert [s.status for s in report.slides] == ["failed", "done"]
    assert "changed while it was read" in str(report.slides[0].reason)
    assert wsi_embed.open_store(tmp_path / "f.zarr").slide_ids == ["b"]
    assert not (tmp_path / "f.zarr" / "a").exists()


def test_a_batch_too_large_for_the_device_is_halved(tmp_path: Path) -> None:
    """A model that wants 256 TiB for two tiles: ONNX Runtime's own error, nothing simulated."""
    slides = tmp_path / "slides"
    slides.mkdir()
    write_tiff(slides / "a.tif", he_pixels(300, 300))
    hog = make_model(tmp_path / "model", bad="memory")
    for size in ("8", "1"):
        out = tmp_path / f"{size}.zarr"
        assert invoke(slides, "--out", out, "--model", hog, "--batch-size", size).returncode == 0
    assert tree(tmp_path / "8.zarr") == tree(tmp_path / "1.zarr")


def test_a_tile_too_large_for_the_device_fails_the_slide(tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in "ab":
        write_tiff(slides / f"{name}.tif", he_pixels(300, 300))
    hog = make_model(tmp_path / "model", bad="never")
    done = invoke(slides, "--out", tmp_path / "f.zarr", "--model", hog, "--batch-size", "8")
    assert done.returncode == 1
    for name in "ab":
        line = next(x for x in done.stdout.splitlines() if f"] {name}: failed" in x)
        assert "out of memory on cpu with one tile of" in line
        assert "use a smaller model" in line
    assert wsi_embed.open_store(tmp_path / "f.zarr").slide_ids == []


def test_a_full_disk_fails_the_slide_and_keeps_the_others(model: Path, tmp_path: Path) -> None:
    """The kernel's own refusal: no file may grow beyond 24 KiB, and one bag is larger."""
    slides = tmp_path / "slides"
    slides.mkdir()
    write_tiff(slides / "large.tif", he_pixels(1400, 1400), levels=(1, 8))
    write_tiff(slides / "small.tif", he_pixels(300, 300))

    args: list[str | Path] = [slides, "--out", tmp_path / "f.zarr", "--model", model]
    args += ["--tissue", "none", "--overlap", "8"]
    with no_room(24_000):
        done = invoke(*args)
    assert done.returncode == 1, done.stderr
    line = next(x for x in done.stdout.splitlines() if "] large: failed" in x)
    assert "cannot be written" in line
    assert "free some space" in line
    assert str(tmp_path) not in line
    store = wsi_embed.open_store(tmp_path / "f.zarr")
    assert store.slide_ids == ["small"]
    assert store.incomplete() == []
    assert invoke(*args).returncode == 0, "with space again"


UNPRIVILEGED = """
import json, os, sys, wsi_embed
root, model = sys.argv[1:]
os.umask(0)
wsi_embed.embed(root + "/slides/good.tif", root + "/warm.zarr", model=model)  # imports what is imported late
if os.geteuid() == 0:
    os.seteuid(65534)  # root may read everything
report = wsi_embed.embed(root + "/slides", root + "/f.zarr", model=model)
os.seteuid(os.getuid())
print(json.dumps({s.slide_id: [s.status, s.reason] for s in report.slides}))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


def test_what_may_not_be_read_fails_alone(model: Path, open_folder: Path) -> None:
    slides = open_folder / "slides"
    (slides / "locked").mkdir(parents=True)
    for name in ("good", "secret", "locked/inside"):
        write_tiff(slides / f"{name}.tif", he_pixels(300, 300))
    write_mirax(slides / "several.mrxs", he_pixels(320, 384))  # a file and a folder
    (slides / "several").chmod(0)
    (slides / "secret.tif").chmod(0)
    (slides / "locked").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(open_folder), str(shutil.copy(model, open_folder))],
        capture_output=True, text=True, cwd=REPO, timeout=120, check=False,
    )  # fmt: skip
    for name in ("locked", "several"):
        (slides / name).chmod(0o755)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["good"] == ["done", None]
    for name in ("secret", "locked"):
        assert found[name][0] == "failed"
        assert "cannot be opened (Permission denied); check its permissions" in found[name][1]
    assert found["several"][0] == "failed"
    assert "Slidedat.ini: Permission denied); check the permissions of all its files" in found["several"][1]
    assert str(open_folder) not in json.dumps(found)
    assert len(found) == 4
