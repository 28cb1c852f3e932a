"""The folder of tiles: what it refuses, what it cleans up, and its table."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import make_slides, tree
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import StoreError, StoreMismatchError, UsageError
from wsi_embed.storage.lock import whole_lock
from wsi_embed.tiles import TileFolder

linux = pytest.mark.skipif(sys.platform != "linux", reason="open file description locks are Linux's")


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "one.tif", he_pixels(200, 200), mpp=0.5)


def tile(source: Path, out: Path) -> wsi_embed.JobReport:
    return wsi_embed.tile(source, out, tile_px=32)


def test_a_folder_with_something_else_is_refused_and_left_alone(one: Path, tmp_path: Path) -> None:
    """A MIRAX slide is a file and a folder that is called like the slide: nothing may replace that."""
    (tmp_path / "slides" / "one").mkdir(parents=True)
    (tmp_path / "slides" / "one" / "Data0000.dat").write_text("pixels")
    before = tree(tmp_path / "slides")
    with pytest.raises(StoreMismatchError, match="exists and contains other files"):
        tile(one, tmp_path / "slides")
    with pytest.raises(StoreMismatchError, match="exists and contains other files"):
        tile(one, write_text(tmp_path / "file"))
    assert tree(tmp_path / "slides") == before


def write_text(path: Path) -> Path:
    path.write_text("mine")
    return path


def test_a_folder_of_the_users_within_is_left_alone(one: Path, tmp_path: Path) -> None:
    TileFolder(tmp_path / "tiles")
    (tmp_path / "tiles" / "one").mkdir()
    write_text(tmp_path / "tiles" / "one" / "notes.txt")
    report = tile(one, tmp_path / "tiles")
    assert "tiles/one: exists and contains other files" in str(report.slides[0].reason)
    assert (tmp_path / "tiles" / "one" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"complete": true}', None])
def test_a_slide_with_a_damaged_record_is_redone(damage: str | None, one: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    tile(one, out)
    before = tree(out)
    if damage is None:
        (out / "one" / "tiling.csv").unlink()
    else:
        (out / "one" / "tiling.json").write_text(damage)
    assert TileFolder(out).complete() == {}
    assert tile(one, out).count("done") == 1
    assert tree(out) == before


def test_what_a_killed_job_left_goes(one: Path, tmp_path: Path) -> None:
    """Killed while it wrote a slide, and just after it had replaced one."""
    out = tmp_path / "tiles"
    tile(one, out)
    before = tree(out)
    for name in (".one~before", ".other~"):
        (out / name).mkdir()
        write_text(out / name / "0_0.png")
    other = write_tiff(tmp_path / "other.tif", he_pixels(200, 200, seed=1), mpp=0.5)
    tile(other, out)
    assert not list(out.glob(".*~*"))
    assert before.items() - tree(out).items() == {("tiles.csv", before["tiles.csv"])}


def test_killed_between_the_two_renames_the_slide_is_redone(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    tile(one, out)
    before = tree(out)
    (out / "one").rename(out / ".one~before")
    assert tile(one, out).count("done") == 1
    assert tree(out) == before


def test_the_table_is_whole_or_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    tile(make_slides(tmp_path / "slides", count=2, side=300), out)
    table = (out / "tiles.csv").read_bytes()
    rows = [line for name in ("batch%202__s1", "s0") for line in (out / name / "tiling.csv").open("rb")]
    header = rows[0]
    assert table == header + b"".join(row for row in rows if row != header)

    (out / "tiles.csv").unlink()
    (out / "tiles.csv").mkdir()  # nothing can take its place
    (out / "tiles.csv" / "x").touch()
    with pytest.raises(StoreError, match=r"tiles\.csv: cannot be written"):
        TileFolder(out).write_table()
    assert not list(out.glob(".tiles.csv~*"))
    report = tile(tmp_path / "slides", out)
    assert report.exit_code == 1
    assert str(report.error).startswith("tiles/tiles.csv: cannot be written")


@linux
def test_tables_are_written_one_after_the_other(one: Path, tmp_path: Path) -> None:
    """A job that lists the folder while another commits must not have the last word."""
    out = tmp_path / "tiles"
    tile(one, out)
    writer = threading.Thread(target=TileFolder(out).write_table)
    with whole_lock(out / ".wsi-embed-tiles"):
        (out / "tiles.csv").unlink()
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert not (out / "tiles.csv").exists()
    writer.join(30)
    assert (out / "tiles.csv").exists()


@pytest.mark.parametrize("name", ["tiles.csv", ".wsi-embed-tiles"])
def test_ids_that_are_names_of_the_folders_own_files_are_refused(
    name: str, one: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be a slide's id"):
        tile(one.rename(tmp_path / f"{name}.tif"), tmp_path / "tiles")


def test_the_record_says_what_the_tiles_are(one: Path, tmp_path: Path) -> None:
    tile(one, tmp_path / "tiles")
    record = json.loads((tmp_path / "tiles/one/tiling.json").read_text())
    wanted = {"format": "png", "quality": None, "max_tiles": None, "seed": None, "tile_px": 32, "mpp": 0.5}
    assert record["settings"].items() >= wanted.items()
    with wsi_embed.open_slide(one) as slide:
        assert record["settings"]["slide"] == record["slide_fingerprint"] == slide.fingerprint
