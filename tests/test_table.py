"""The paper's tables on a user's own slides: one command, and again after an interruption."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.made_models import TINY_BACKBONE
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.evaluate.mil.settings import MilSettings

pytest.importorskip("torch")

SMALL = f"backbone={TINY_BACKBONE} batch_size=8 workers=0 devices=cpu predictor_hidden=16 tile_px=32".split()


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve slides, the tumour darker, and one table that says all; each left half is a bluer region."""
    folder = tmp_path_factory.mktemp("slides")
    lines = ["path,slide_id,label,split"]
    (folder / "regions").mkdir()
    for n in range(12):
        label = ("normal", "tumour")[n % 2]
        pixels = he_pixels(200, 240, seed=n) // (1 + n % 2)
        pixels[:, :128, 0] //= 4
        write_tiff(folder / f"s{n}.tif", pixels, mpp=0.5)
        lines.append(f"s{n}.tif,s{n},{label},{'test' if n >= 8 else 'train'}")
        ring = [[0, 0], [128, 0], [128, 200], [0, 200], [0, 0]]
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": "Left"}},
        }
        (folder / "regions" / f"s{n}.geojson").write_text(json.dumps([feature]))
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the evaluation of bags, which a colour tells apart."""
    few = functools.partial(MilSettings, epochs=20)
    monkeypatch.setattr("benchmarks.table_slides.MilSettings", few)


def table(*arguments: object) -> None:
    from benchmarks.table import main

    main([str(argument) for argument in arguments])


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines() if line]


def test_both_tables_from_slides(slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv, out = slides / "slides.csv", tmp_path / "table"
    command = [
        csv, "--split", "train", "--slides", csv, "--labels", csv, "--mpp", "0.5", "--tissue", "none",
        "--annotations", slides / "regions", "--classes", "Left=left", "--rest", "right", "--out", out,
        "--methods", "clubyol-paper", "--epochs", "1", "--mil-seeds", "1", "--set", *SMALL,
    ]  # fmt: skip
    table(*command)
    first = rows_of(capsys.readouterr().out)
    assert [row[0] for row in first] == [
        "features", "---", "untrained", "clubyol-paper",
    ] * 2  # fmt: skip
    tiles = first[3]
    assert tiles[4] == "0.768"
    said = json.loads((out / "clubyol-paper-0" / "tiles.json").read_text())["all"]
    assert tiles[2:4] == [f"{said[name]:.3f}" for name in ("F1", "balanced accuracy")]
    # colours of their own: anything tells them apart
    assert all(float(row[3]) > 0.9 for row in first[2:4])
    assert [row[2:4] for row in first[4:5]] == [["accuracy", "balanced_accuracy"]]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    table(*command)
    assert rows_of(capsys.readouterr().out) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    # one row is lost, and its store: the others stay
    (out / "untrained-0" / "slides.json").unlink()
    shutil.rmtree(out / "untrained-0" / "feats.zarr")
    table(*command)
    assert rows_of(capsys.readouterr().out) == first


def test_tile_images_and_organs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    rows = ["path,label,split"]
    for n in range(24):
        organ, dark, split = ("lung", "oral")[n % 2], n // 2 % 2, "train" if n < 16 else "test"
        pixels = he_pixels(32, 32, seed=n) // (1 + dark)
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.asarray(pixels))
        rows.append(f"{n}.png,{organ}_{('pale', 'dark')[dark]},{split}")
    tiles = tmp_path / "tiles.csv"
    tiles.write_text("\n".join(rows) + "\n")
    command = [
        tiles, "--split", "train", "--tiles", tiles, "--organs", "--out", tmp_path / "t",
        "--methods", "simsiam", "--epochs", "1", "--seeds", "0", "1", "--set", *SMALL,
    ]  # fmt: skip
    table(*command)
    found = rows_of(capsys.readouterr().out)
    heads = ["lung: F1", "lung: balanced accuracy", "oral: F1", "oral: balanced accuracy"]
    assert found[0] == ["features", "trainings", *heads, "paper: F1"]
    assert [row[:2] for row in found[2:]] == [["colour-histogram", "1"], ["untrained", "2"], ["simsiam", "2"]]
    assert found[2][2:6] == ["1.000"] * 4
    assert "(" in found[4][2]


def test_given_weights_on_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2
    import torch

    from wsi_embed_train.backbones import make_backbone

    rows = ["path,label,group"]
    for n in range(24):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.asarray(he_pixels(32, 32, seed=n) // (1 + n % 2)))
        rows.append(f"{n}.png,{('pale', 'dark')[n % 2]},case{n // 4}")
    tiles, weights = tmp_path / "tiles.csv", tmp_path / "start.pt"
    tiles.write_text("\n".join(rows) + "\n")
    torch.save(make_backbone(TINY_BACKBONE)[0].state_dict(), weights)
    table(
        tiles, "--tiles", tiles, "--folds", 2, "--init", weights, "--out", tmp_path / "t",
        "--methods", "simsiam", "--epochs", 1, "--set", *SMALL,
    )  # fmt: skip
    found = rows_of(capsys.readouterr().out)
    assert found[0] == ["features", "trainings", "1-NN", "ridge"]
    assert [row[0] for row in found[2:]] == ["colour-histogram", "untrained", "frozen", "simsiam"]
    assert found[2][2:] == ["1.000"] * 2
    run = torch.load(tmp_path / "t" / "simsiam-0" / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert run["wsi_embed"]["data"]["init"]["weights"].startswith("start.pt sha256:")


def test_supervised_needs_labels(slides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.table import METHODS, trainable

    assert trainable(slides / "slides.csv", list(METHODS)) == list(METHODS)
    assert trainable(slides, list(METHODS)) == [name for name in METHODS if name != "supervised"]
    assert "supervised is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --slides and --labels, or --tiles, or all three"),
        (["--slides", "s"], "--slides and --labels go together"),
        (["--tiles", "t", "--annotations", "a"], "--annotations, --classes and --slides go together"),
    ],
)
def test_arguments_that_do_not_fit(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        table("source", "--out", "out", *arguments)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_a_slide_that_fails_stops_it(slides: Path, tmp_path: Path) -> None:
    from benchmarks.table_slides import Slides
    from tests.made_models import tiny_onnx
    from wsi_embed.errors import SlideError

    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"no slide")
    bags = Slides(str(bad), "none", 0, None, slides / "slides.csv", 1)
    with pytest.raises(SlideError, match="mend it or leave it out"):
        bags.store(tiny_onnx(tmp_path / "m.onnx"), tmp_path / "s.zarr")
