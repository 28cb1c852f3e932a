"""Errors of usage: one line that names the value, the same look for all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.job_tools import invoke


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            "x --out y --mpp 0,5",
            "--mpp 0,5: is no number (with a decimal point, as 0.5); see wsi-embed embed --help",
        ),
        ("tile x --out y --tile-px big", "--tile-px big: is no whole number; see wsi-embed tile --help"),
        ("eval mil x --labels y --folds 1", "--folds 1: give 2 or more; see wsi-embed eval mil --help"),
        ("embed x", "--out: is missing; see wsi-embed embed --help"),
        ("compare a", "B: is missing; see wsi-embed compare --help"),
        ("info a b", "got unexpected extra argument(s) (b); see wsi-embed info --help"),
        ("info a --jsom", "no such option: --jsom (did you mean --json); see wsi-embed info --help"),
        ("eval kn", "no such command 'kn'. Did you mean 'knn'?; see wsi-embed eval --help"),
        ("x --out y --shard", "option '--shard' requires an argument; see wsi-embed embed --help"),
    ],
)
def test_an_error_is_one_line_with_the_value(typed: str, expected: str) -> None:
    done = invoke(*typed.split())
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {expected}\n")


@pytest.mark.parametrize(
    ("typed", "option", "scheme"),
    [
        ("plot f.zarr --out s3://bucket/plots", "--out", "s3"),
        ("plot f.zarr --slides gs://bucket/slides", "--slides", "gs"),
        ("cluster f.zarr --k 3 --out S3://bucket/clusters", "--out", "S3"),
        ("eval mil f.zarr --labels https://user:secret@host/l.csv", "--labels", "https"),
        ("x.svs --out f.zarr --report s3://bucket/report.json", "--report", "s3"),
        ("train tiles --out gs://bucket/run", "--out", "gs"),
        ("export timm:resnet18 --weights http://host/w.bin --out m.onnx", "--weights", "http"),
        ("plot f.zarr --out az://container/plots", "--out", "az"),
    ],
)
def test_an_address_where_a_path_belongs_is_refused(
    typed: str, option: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(*typed.split())
    text = f"{option}: takes a path of this machine, no {scheme}:// address; copy from or to there"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {text} in a step of its own\n")
    assert not any(tmp_path.iterdir())


def test_a_file_address_where_a_path_belongs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("plot", "f.zarr", "--out", "file:///data/plots")
    text = "--out: takes a path of this machine, no file:// address; leave file:// out"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {text}\n")
    assert not any(tmp_path.iterdir())


def test_a_wrong_value_of_the_environment_is_named() -> None:
    done = invoke("x", "--out", "y", env={"WSI_EMBED_OVERLAP": "many"})
    assert done.stderr == "error: --overlap many: is no whole number; see wsi-embed embed --help\n"


def test_a_wrong_value_is_logged_as_json() -> None:
    done = invoke("x", "--out", "y", "--log-json", "--overlap", "many")
    event = json.loads(done.stdout)
    assert (done.returncode, event["event"], event["exit_code"]) == (2, "error", 2)
    assert event["message"].startswith("--overlap many: is no whole number")


@pytest.mark.parametrize(
    "arguments",
    [
        ("{}/slides of anna", "--out", "{}/o.zarr"),
        ("{}/a.svs", "--out", "{}/o.zarr", "--report={}/deep/report.txt"),
        ("tile", "{}/a.svs", "--out", "{}/o", "--roi", "{}/regions"),
        ("{}/list.csv", "--out", "{}/o.zarr", "--model", "{}/none.onnx"),
    ],
)
def test_a_logged_error_holds_no_folders(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    (tmp_path / "list.csv").write_text(
        "path,slide_id\n/data/patients/anna/x.svs,1\n/data/patients/anna/y.svs,1\n"
    )
    done = invoke(*(argument.format(tmp_path) for argument in arguments), "--log-json")
    message = json.loads(done.stdout.splitlines()[-1])["message"]
    assert done.returncode == 2
    assert str(tmp_path) not in message
    assert "/data/patients" not in message
