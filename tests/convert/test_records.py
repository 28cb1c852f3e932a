"""What a killed conversion leaves, and two at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.convert.conformance import files_of
from wsi_embed import Store
from wsi_embed.convert import convert
from wsi_embed.convert.records import Records
from wsi_embed.errors import SlideError

REPO = Path(__file__).parents[2]

KILLED = """
import os, sys
from wsi_embed.convert import convert
from wsi_embed.convert.torchmil import Torchmil
write, bags = Torchmil.write, []
def dies(self, item, paths):
    write(self, item, paths)
    bags.append(item)
    if len(bags) == 2:
        paths[1].write_bytes(b"half")
        os._exit(9)
Torchmil.write = dies
convert(sys.argv[1], "torchmil", sys.argv[2])
"""


def test_a_killed_run_leaves_nothing_that_a_reader_would_take(source: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(source.path), str(out)]
    assert subprocess.run(command, cwd=REPO, check=False).returncode == 9
    # torchmil takes every .npy in these folders, hidden or not
    assert {p.name for p in out.glob("[!.]*/*")} == {"a1.npy"}
    assert any((out / ".wsi-embed-convert" / "torchmil" / "part").iterdir())
    done = convert(source, "torchmil", out)
    assert (done.skipped, done.written) == (["a1"], ["a2", "b%202"])
    convert(source, "torchmil", tmp_path / "whole")
    assert files_of(out) == files_of(tmp_path / "whole")
    assert not (out / ".wsi-embed-convert" / "torchmil" / "part").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="open file description locks are Linux's")
def test_one_conversion_at_a_time(source: Store, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    with Records(tmp_path, "torchmil").locked():
        with pytest.raises(SlideError, match="another conversion is writing into it"):
            convert(source, "torchmil", tmp_path)
        convert(source, "trident", tmp_path)
    assert convert(source, "torchmil", tmp_path).written == ["a1", "a2", "b%202"]


def write_folder(records: Records, digest: str, text: str) -> None:
    with records.locked(), records.writing("bags/a", digest, ["a.zarr"]) as (path,):
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "object").write_text(text)


def test_a_folder_is_one_file(tmp_path: Path) -> None:
    records, written = Records(tmp_path, "some"), tmp_path / "a.zarr" / "inner" / "object"
    write_folder(records, "1", "old")
    assert records.state("bags/a", "1", ["a.zarr"]) == "complete"
    assert records.state("bags/a", "2", ["a.zarr"]) == "other"
    written.write_text("changed")
    assert records.state("bags/a", "1", ["a.zarr"]) == "other"
    (tmp_path / "a.zarr" / "of the old one").touch()
    write_folder(records, "2", "new")
    assert files_of(tmp_path) == {"a.zarr/inner/object": b"new"}
    assert records.state("bags/a", "2", ["a.zarr"]) == "complete"
    with records.locked(), records.writing("bags/a", "3", ["a.txt"]) as (path,):
        path.write_text("a file in its place")
    assert files_of(tmp_path) == {"a.txt": b"a file in its place"}
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("nth", [0, 1])
def test_a_folder_that_cannot_be_renamed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    records, replace, renamed = Records(tmp_path, "some"), os.replace, iter(range(9))
    write_folder(records, "1", "old")

    def failing(source: Path, target: Path) -> None:
        if not str(source).endswith("json") and next(renamed) >= nth:  # of the records themselves
            raise OSError("cannot be renamed")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing)
        with pytest.raises(OSError, match="cannot be renamed"):
            write_folder(records, "2", "new")
    assert records.state("bags/a", "2", ["a.zarr"]) == "missing"
    write_folder(records, "2", "new")
    assert files_of(tmp_path) == {"a.zarr/inner/object": b"new"}
