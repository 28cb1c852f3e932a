"""`wsi-embed eval knn` as typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.evaluate.made import MadeSlide, annotate, made_store, region, table
from tests.made_models import tiny_features, tiny_onnx, tiny_tiles
from wsi_embed.cli import app, with_default_command
from wsi_embed.errors import UsageError
from wsi_embed.slide.tile_images import read_image


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", "knn", *map(str, arguments)])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a table of 24 tiles, dark and bright. Do not change it."""
    folder = tmp_path_factory.mktemp("images")
    tiny_onnx(folder / "m.onnx")
    tiles = sorted(tiny_tiles(folder / "t", 24).iterdir())
    lines = [f"t/{path.name},{'ab'[n % 2]},{'train' if n < 16 else 'test'}" for n, path in enumerate(tiles)]
    table(folder / "tiles.csv", "path,label,split", *lines)
    return folder


def nearest(folder: Path) -> list[str]:
    """Labels of the nearest train tiles, by the definition."""
    pixels = np.stack([read_image(path) for path in sorted((folder / "t").iterdir())])
    features = tiny_features(pixels).astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return ["ab"[int((unit[:16] @ unit[n]).argmax()) % 2] for n in range(16, 24)]


def test_images_as_json_and_as_files(images: Path, tmp_path: Path) -> None:
    done = typed(
        "--model", images / "m.onnx", "--tiles", images / "tiles.csv", "--device", "cpu", "--json", "--probe",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    expected = np.array(nearest(images))
    assert found["knn"]["accuracy"] == pytest.approx(np.mean(expected == np.array(list("abababab"))))
    assert (found["train_tiles"], found["test_tiles"], found["knn"]["k"]) == (16, 8, 1)
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]
    assert [line.split(",")[3] for line in lines] == expected.tolist()


def test_classes_given_again_count_too(images: Path) -> None:
    asked = ("--model", images / "m.onnx", "--tiles", images / "tiles.csv", "--device", "cpu", "--json")
    done = typed(*asked, "--classes", "a=x", "--classes", "b,a=x")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["knn"]["classes"].keys() == {"b", "x"}
    error = typed(*asked, "--classes", "a=x", "--classes", "a=y,b").exception
    assert "a is given two names" in str(error)


def test_too_many_neighbours_are_said_before_the_model_is_loaded(images: Path) -> None:
    done = typed("--model", images / "none.onnx", "--tiles", images / "tiles.csv", "--k", "17")
    assert isinstance(done.exception, UsageError)
    assert "--k 17: there are 16 train tiles; give 1 to 16" in str(done.exception)


def test_what_people_see(images: Path) -> None:
    done = typed("--model", images / "m.onnx", "--tiles", images / "tiles.csv", "--device", "cpu", "--k", "3")
    assert done.exit_code == 0, done.output
    for words in (
        "16 train, 8 test",
        "3 nearest neighbours",
        "macro F1",
        "recall",
        "note: the model does not",
    ):
        assert words in done.output


def test_tiles_of_a_store(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shift = np.repeat([[3.0], [-3.0]], 8, axis=0) * np.array([1.0, -1, 1, -1])
    slides = {name: MadeSlide((rng.normal(size=(16, 4)) + shift).astype(np.float32)) for name in ("s1", "s2")}
    made_store(tmp_path / "f.zarr", slides)
    for name in slides:
        annotate(tmp_path / "a", name, region("_0", (0, 0), (1, 3)))
    splits = table(tmp_path / "s.csv", "slide_id,split", "s1,train", "s2,test")
    done = typed(
        "--store", tmp_path / "f.zarr", "--annotations", tmp_path / "a", "--splits", splits, "--classes",
        "_0=tumour", "--rest", "normal", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["knn"]["f1_macro"] == 1.0
    assert {name: of["count"] for name, of in found["knn"]["classes"].items()} == {"normal": 8, "tumour": 8}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --model and --tiles, or --store"),
        (["--model", "m.onnx"], "give --model and --tiles, or --store"),
        (
            ["--store", "f.zarr", "--model", "m.onnx"],
            "--store has features already; leave --model out",
        ),
        (
            ["--store", "f.zarr"],
            "--store needs --splits, and --annotations or --tiles, which say the classes",
        ),
        (["--model", "m.onnx", "--tiles", "t.csv", "--classes", "a,,b"], "--classes a,,b: expected LABEL"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], says: str) -> None:
    done = typed(*arguments)
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)


def test_eval_is_a_command_of_its_own() -> None:
    assert with_default_command(["eval", "knn"]) == ["eval", "knn"]
    with pytest.raises(UsageError, match="did you mean `wsi-embed eval`"):
        with_default_command(["evla", "knn"])
