"""`wsi-embed convert`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.convert.conftest import LABELS
from tests.job_tools import run
from wsi_embed import Store, open_store
from wsi_embed.cli import app
from wsi_embed.errors import UsageError

pytest.importorskip("h5py")


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_a_store_goes_out_and_comes_back(source: Store, labels: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back.zarr"
    done = command(source.path, "--to", "trident", "--out", out)
    assert done.exit_code == 0, done.output
    assert f"a1: {len(source['a1'])} tiles" in done.output
    assert done.output.splitlines()[-1] == f"{out}: 4 written"
    assert command(source.path, "--to", "trident", "--out", out).output.endswith("4 there already\n")
    done = command(out, "--from", "trident", "--out", back)
    assert done.output.splitlines()[-1] == f"{back}: 4 written"
    assert list(open_store(back)) == list(source)


def test_what_is_left_out_is_said(source: Store, labels: Path, tmp_path: Path) -> None:
    done = command(source.path, "--to", "torchmil", "--out", tmp_path / "a")
    assert done.output.endswith("3 written, 1 left out, without tiles\n")
    labelled = (source.path, "--to", "torchmil", "--labels", labels)
    refused = command(*labelled, "--out", tmp_path / "b")
    assert isinstance(refused.exception, UsageError)
    assert "slides without a label: empty; correct the table" in str(refused.exception)
    done = command(*labelled, "--out", tmp_path / "b", "--missing", "skip", "--by", "patient")
    assert "note: left out: slides without a label: empty\n" in done.output
    assert done.output.endswith("2 written\n")
    assert len(LABELS) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either --to FORMAT"),
        (["--to", "clam", "--from", "clam"], "give either --to FORMAT"),
        (["--to", "csv"], "--to csv: choose trident, clam"),
        (["--to", "stamp", "--mpp", "0.5"], "are for --from"),
        (["--from", "trident", "--by", "patient"], "are for --to"),
        (["--to", "stamp", "--by", "cohort"], "--by cohort: choose slide or patient"),
    ],
)
def test_wrong_usage(source: Store, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = command(source.path, "--out", tmp_path / "out", *arguments)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_failure_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    folder = tmp_path / "job" / "20x_256px_0px_overlap" / "features_uni"
    folder.mkdir(parents=True)
    (folder / "s.h5").write_bytes(b"no HDF5")
    done = run("convert", tmp_path / "job", "--from", "trident", "--out", tmp_path / "f.zarr")
    assert done.returncode == 1
    assert done.stderr.startswith("s: failed: s.h5: cannot be read as a file of features")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout.splitlines()[-1].endswith("1 failed")


def test_the_output_folder_is_on_this_machine(
    source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = command(source.path, "--to", "torchmil", "--out", "s3://bucket/t")
    assert isinstance(refused.exception, UsageError)
    assert "files for other tools go into a folder of this machine" in str(refused.exception)
    assert list(tmp_path.iterdir()) == []
