"""`wsi-embed eval knn --folds` as typed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.evaluate.made import table
from tests.made_models import tiny_features, tiny_onnx, tiny_tiles
from wsi_embed.cli import app
from wsi_embed.cli.eval import folds as display
from wsi_embed.errors import ModelError, UsageError, WsiEmbedError
from wsi_embed.evaluate.compare_encoders import compare_encoders
from wsi_embed.slide.tile_images import read_image

HEADER = "path,label,specimen,split"


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", "knn", "--device", "cpu", *map(str, arguments)])


def rows(count: int = 24) -> list[str]:
    """Rows of tiles of two classes, two tiles a specimen, in no split."""
    return [f"t/tile_{n:02}.png,{'ab'[n // 2 % 2]},c{n // 2}," for n in range(count)]


def two_specimens() -> list[str]:
    """Rows of tiles of two classes, both in both specimens."""
    return [f"t/tile_{n:02}.png,{'ab'[n % 2]},c{n // 2}," for n in range(4)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models and a table of 24 tiles of 12 specimens. Do not change it."""
    folder = tmp_path_factory.mktemp("images")
    tiny_onnx(folder / "m.onnx")
    tiny_onnx(folder / "other.onnx", seed=1)
    tiny_tiles(folder / "t", 24)
    table(folder / "tiles.csv", HEADER, *rows())
    return folder


def test_models_and_histogram_as_json_and_as_files(images: Path, tmp_path: Path) -> None:
    done = typed(
        "--model", images / "m.onnx", "--model", images / "other.onnx", "--tiles", images / "tiles.csv",
        "--folds", 3, "--group", "specimen", "--colour-histogram", "--k", 3, "--json",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    names, kinds = ["colour histogram", "m", "other"], ["1-NN", "3-NN", "ridge"]
    assert [(s["classifier"], s["features"]) for s in found["scores"]] == [
        (k, n) for k in kinds for n in names
    ]
    assert len(found["differences"]) == 9
    assert (found["tiles"], found["groups"], found["classes"]) == (24, 12, {"a": 12, "b": 12})
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == found
    predicted = [line.split(",") for line in (tmp_path / "out" / "predictions.csv").read_text().splitlines()]
    column, test = predicted[0].index("m: 1-NN"), np.array([int(row[2]) for row in predicted[1:]])
    assert [row[column] for row in predicted[1:]] == nearest(images, test)


def nearest(folder: Path, fold: Any) -> list[str]:
    """Label of the nearest tile of another fold, by the definition."""
    pixels = np.stack([read_image(path) for path in sorted((folder / "t").iterdir())])
    features = tiny_features(pixels).astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarity = np.where(fold[:, None] == fold, -2, unit @ unit.T)
    return ["ab"[int(n) // 2 % 2] for n in similarity.argmax(1)]


def test_python_says_the_same(images: Path) -> None:
    result = compare_encoders(
        images / "tiles.csv", [images / "m.onnx"], folds=3, group="specimen", seed=2, device="cpu"
    )
    asked = (
        "--tiles",
        images / "tiles.csv",
        "--model",
        images / "m.onnx",
        "--folds",
        3,
        "--group",
        "specimen",
    )
    done = typed(*asked, "--seed", 2, "--json")
    assert json.loads(done.stdout) == result.to_dict()
    assert result.differences == []


def test_a_line_each_in_a_log(images: Path) -> None:
    done = typed(
        "--model", images / "m.onnx", "--model", images / "other.onnx", "--tiles", images / "tiles.csv",
        "--folds", 3, "--group", "specimen",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    number = r"[+-]?\d\.\d{3}"
    score = rf"ridge, other: balanced accuracy {number} \({number} to {number}\), mean of folds {number} .*"
    difference = rf"ridge, other compared with m: {number} \({number} to {number}\), (better|worse|undecided)"
    for wanted in (score, difference):
        assert len([line for line in lines if re.fullmatch(wanted, line)]) == 1, done.stdout
    assert "24 of 12 groups" in done.stdout
    assert "note: fewer than 10 groups of a, b" in done.stdout
    assert [line for line in done.stderr.splitlines() if "m: " in line] == [
        "m: tiles 24 of 24",
        "m: folds 3 of 3",
    ]


@pytest.mark.parametrize("folds", [(), ("--folds", 3, "--group", "specimen")])
def test_folder_and_seed_are_checked_before_the_model_is_loaded(
    folds: tuple[object, ...], images: Path, tmp_path: Path
) -> None:
    asked = ("--model", images / "none.onnx", "--tiles", images / "tiles.csv", *folds)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "new"):
        error = typed(*asked, "--out", out).exception
        assert isinstance(error, UsageError)
        assert f"--out {out}: cannot be written (Not a directory)" in str(error)
    for seed in (-1, 2**32):
        error = typed(*asked, "--seed", seed).exception
        assert isinstance(error, UsageError)
        assert f"--seed {seed}: 0 to 4294967295 is expected" in str(error)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_on_a_terminal(
    images: Path, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    models = [images / "m.onnx", images / "other.onnx"]
    result = compare_encoders(images / "tiles.csv", models, folds=3, group="specimen", device="cpu")
    display.show(result, [])
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(len(line) for line in lines if not line.startswith("note: ")) <= width
    heads = [line for line in lines if line.startswith("classifier")]
    assert ["mean of folds" in heads[0], "verdict" in heads[1]] == [True, True]
    assert sum(line.startswith(("1-NN", "ridge")) for line in lines) == 6


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=80, force_terminal=True)
    monkeypatch.setattr(display, "Console", lambda **settings: console)
    with display.BarSteps() as steps:
        for _ in range(3):
            steps("[a]: tiles", 2, 6)
        steps("b: tiles", 1, 6)
    shown = console.export_text()
    assert re.search(r"\[a\]: tiles +━+ +6/6", shown)
    assert re.search(r"b: tiles +━.* 1/6", shown)


@pytest.mark.parametrize(
    ("lines", "arguments", "says"),
    [
        (
            rows(),
            ["--group", "patient"],
            r"no column 'patient', which --group needs; it has path, label, specimen",
        ),
        (rows(), [], r"no column 'group', which --group needs"),
        (two_specimens(), ["--group", "specimen"], r"--folds 3: tiles.csv has 2 groups; give 2$"),
        ([*rows(), "t/more.png,c,c0,"], ["--group", "specimen"], r"t/more.png is not there"),
        (
            [*rows()[:-1], "t/tile_23.png,c,c0,"],
            ["--group", "specimen"],
            r"in one group only: c \(c0\); add .* --cl",
        ),
        (
            rows(2),
            ["--group", "specimen"],
            r"tiles.csv: all tiles have the label 'a'; give two classes at least",
        ),
        (
            [*rows()[:-1], "t/tile_23.png,b,NA,"],
            ["--group", "specimen"],
            r"1 tile without a group, such as t/tile_23",
        ),
        (
            [*rows()[:-1], "t/tile_23.png,,c11,"],
            ["--group", "specimen"],
            r"tiles.csv, row 25: no label; add it or",
        ),
        (
            rows(),
            ["--group", "specimen", "--k", "17"],
            r"--k 17: there are 16 train tiles in one of the folds; give",
        ),
        (rows(), ["--group", "label"], r"in one group only: a \(a\), b \(b\)"),
    ],
)
def test_bad_tables_are_one_line_before_a_model_is_loaded(
    images: Path, lines: list[str], arguments: list[str], says: str
) -> None:
    folder = images / "bad"
    folder.mkdir(exist_ok=True)
    if not (folder / "t").exists():
        (folder / "t").symlink_to(images / "t")
    source = table(folder / "tiles.csv", HEADER, *lines)
    done = typed("--tiles", source, "--model", images / "none.onnx", "--folds", 3, *arguments)
    assert isinstance(done.exception, UsageError)
    assert re.search(says, said := str(done.exception)), said
    assert "\n" not in said


def test_bad_models_are_one_line(images: Path) -> None:
    asked = ("--tiles", images / "tiles.csv", "--folds", 3, "--group", "specimen")
    for models, says in (
        (["m.onnx", "m.onnx"], "m.onnx: the same file 2 times; give each model once"),
        (["m.onnx", "none.onnx"], "none.onnx: no such model file; check --model"),
        (["m.onnx", "tiles.csv"], "tiles.csv: not a model; expected a file that ends in .onnx"),
    ):
        done = typed(*asked, *(part for name in models for part in ("--model", images / name)))
        assert isinstance(done.exception, ModelError | UsageError)
        assert says in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "a.onnx", "--model", "b.onnx", "--tiles", "t.csv"], "several models, --group and"),
        (
            ["--model", "a.onnx", "--tiles", "t.csv", "--group", "x"],
            "--group and --colour-histogram need --folds",
        ),
        (["--tiles", "t.csv", "--colour-histogram"], "--group and --colour-histogram need --folds"),
        (["--folds", "3", "--tiles", "t.csv"], "--folds needs --tiles, and --model or --colour-histogram"),
        (["--folds", "3", "--model", "a.onnx"], "--folds needs --tiles, and --model or --colour-histogram"),
        (
            ["--folds", "3", "--store", "f.zarr", "--tiles", "t.csv", "--colour-histogram"],
            "--folds needs --tiles",
        ),
        (["--folds", "3", "--tiles", "none.csv", "--colour-histogram"], "none.csv: no such file"),
        (["--folds", "3", "--tiles", "none.parquet", "--colour-histogram"], "none.parquet: no such file"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], says: str) -> None:
    done = typed(*arguments)
    assert isinstance(done.exception, WsiEmbedError)
    assert says in str(done.exception)
