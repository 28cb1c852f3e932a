"""`wsi-embed eval mil` as typed: files, and what is wrong with labels and bags, one line each."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("torchmil")

from tests.evaluate.made import MadeSlide, made_store, table
from tests.evaluate.mil.made import Witnessed, witnessed
from tests.store.made_stores import object_bytes
from wsi_embed import verify
from wsi_embed.cli import app
from wsi_embed.errors import MissingExtraError, StoreError, UsageError
from wsi_embed.evaluate import probe
from wsi_embed.evaluate.mil.bags import BagFeatures
from wsi_embed.evaluate.mil.slide_model import MilModel
from wsi_embed.store.attention import Attention
from wsi_embed.util.extras import install_command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Witnessed:
    return witnessed(tmp_path_factory.mktemp("witnessed") / "f.zarr", 24)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "STRENGTHS", (0.01, 1.0))


def typed(store: Path, labels: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", "mil", *map(str, (store, "--labels", labels, *arguments))])


def labels_of(path: Path, labels: Mapping[str, str]) -> Path:
    return table(path, "slide_id,label", *(f"{name},{label}" for name, label in labels.items()))


def test_a_folder_that_cannot_take_the_files_is_refused_before_the_training(
    made: Witnessed, tmp_path: Path
) -> None:
    labels = labels_of(tmp_path / "l.csv", made.labels)
    (tmp_path / "file").write_text("")
    (tmp_path / "other" / "attention.zarr").mkdir(parents=True)
    for name, says in {"file": "cannot be written", "other": "exists and contains other files"}.items():
        done = typed(made.store.path, labels, "--method", "abmil", "--out", tmp_path / name)
        assert isinstance(done.exception, UsageError)
        assert says in str(done.exception)
        assert "fold" not in done.stderr


def test_a_networks_files(made: Witnessed, tmp_path: Path) -> None:
    before = object_bytes(made.store.path)
    labels, out = labels_of(tmp_path / "l.csv", made.labels), tmp_path / "out"
    done = typed(
        made.store.path, labels, "--method", "dsmil", "--folds", 3, "--epochs", 2, "--out", out, "--json"
    )
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == [
        "attention.zarr", "confusion.png", "predictions.csv", "scores.json",
    ]  # fmt: skip
    found = json.loads(done.stdout)
    assert found == json.loads((out / "scores.json").read_text())
    assert (found["classes"], found["seeds"], len(found["folds"])) == ({"a": 12, "b": 12}, 1, 3)
    assert found["scores"].keys() == {"accuracy", "balanced_accuracy", "auc", "auc a", "auc b"}
    assert "[3/3] seed 0, fold 2: epoch " in done.stderr
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert sorted(row["slide"] for row in rows) == sorted(made.labels)
    for row in rows:
        chances = {name: float(row[f"p {name}"]) for name in "ab"}
        assert row["predicted"] == max(chances, key=lambda name: chances[name])
        assert row["label"] == made.labels[row["slide"]]
    attention = Attention(out)
    assert sorted(attention) == sorted(made.labels)
    assert attention["s00"].attention.shape == (len(made.store["s00"]), 2)
    assert object_bytes(made.store.path) == before  # a store is written by embedding alone
    assert verify(made.store.path) == []


def test_what_people_see_of_a_regression(made: Witnessed, tmp_path: Path) -> None:
    labels = labels_of(tmp_path / "l.csv", made.labels)
    store = tmp_path / "copy.zarr"
    store.symlink_to(made.store.path)
    done = typed(store, labels, "--method", "cluster-histogram", "--folds", 3, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    for words in ("24 slides: 12 a, 12 b", "3 folds, 1 seed", "auc b", "95 % t interval", "scores.json"):
        assert words in done.output
    assert not (tmp_path / "o" / "attention.zarr").exists()


def test_the_folder_lies_beside_the_store(made: Witnessed, tmp_path: Path) -> None:
    labels = labels_of(tmp_path / "l.csv", made.labels)
    done = typed(made.store.path, labels, "--method", "mean", "--folds", 3)
    assert done.exit_code == 0, done.output
    written = made.store.path.parent / "f-mil-mean" / "predictions.csv"
    before = written.read_bytes()
    done = typed(made.store.path, labels, "--method", "mean", "--folds", 4)
    assert isinstance(done.exception, UsageError)
    assert "contains an earlier evaluation; give another --out, or replace it with --overwrite" in str(
        done.exception
    )
    assert written.read_bytes() == before
    done = typed(made.store.path, labels, "--method", "mean", "--folds", 4, "--overwrite")
    assert done.exit_code == 0, done.output
    assert written.read_bytes() != before


def test_scores_without_spread_are_called_so(made: Witnessed, tmp_path: Path) -> None:
    """All slides are classified correctly in every fold, by one feature that is the label."""
    slides = {f"s{n:02}": MadeSlide(np.full((2, 4), 1.0 if n % 2 else -1.0, np.float32)) for n in range(12)}
    store = made_store(tmp_path / "f.zarr", slides).path
    labels = labels_of(tmp_path / "l.csv", {name: "ab"[int(name[1:]) % 2] for name in slides})
    done = typed(store, labels, "--method", "mean", "--folds", 3)
    assert done.exit_code == 0, done.output
    assert "1.000 (no spread)" in done.output
    assert "note: no spread: all folds or resamples gave the same score" in done.output


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of twelve slides, s11 without tiles."""
    slides = {f"s{n:02}": MadeSlide(np.ones((0 if n == 11 else 2, 4), np.float32)) for n in range(12)}
    return made_store(tmp_path_factory.mktemp("odd") / "f.zarr", slides).path


HALVES = {f"s{n:02}": "ab"[n % 2] for n in range(12)}


@pytest.mark.parametrize(
    ("labels", "arguments", "says"),
    [
        (HALVES | {"z": "a"}, [], "labels of slides or patients that f.zarr lacks: z; "),
        ({k: v for k, v in HALVES.items() if k != "s03"}, [], "slides without a label: s03; "),
        (HALVES, [], "slides without tiles: s11; .*--missing skip"),
        (
            dict.fromkeys(HALVES, "a"),
            ["--missing", "skip"],
            "every bag has the label 'a'; two classes are needed",
        ),
        (
            HALVES,
            ["--missing", "skip", "--folds", 6],
            "class 'b' has 5 patients, fewer than 6 folds: use --folds 5",
        ),
        (HALVES, ["--method", "svm"], "--method svm: choose dsmil"),
        (HALVES, ["--by", "patient", "--missing", "skip"], "slide s00 has no patient"),
    ],
)
def test_what_is_wrong_with_labels(
    odd: Path, tmp_path: Path, labels: Mapping[str, str], arguments: list[object], says: str
) -> None:
    done = typed(odd, labels_of(tmp_path / "l.csv", labels), *arguments, "--out", tmp_path / "out")
    assert isinstance(done.exception, UsageError)
    with pytest.raises(UsageError, match=says):
        raise done.exception
    assert not (tmp_path / "out").exists()


def test_what_is_skipped_is_said(odd: Path, tmp_path: Path) -> None:
    labels = labels_of(tmp_path / "l.csv", HALVES | {"z": "a"})
    arguments = ("--method", "mean", "--missing", "skip", "--folds", 3, "--out", tmp_path / "out")
    done = typed(odd, labels, *arguments)
    assert done.exit_code == 0, done.output
    assert "note: left out: slides without tiles: s11" in done.output
    assert "note: left out: labels of slides or patients that f.zarr lacks: z" in done.output


def test_features_that_are_no_numbers(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BagFeatures, "_read", lambda *_: np.array([[1.0, np.nan]], np.float16))
    labels = labels_of(tmp_path / "l.csv", HALVES)
    done = typed(odd, labels, "--method", "mean", "--missing", "skip", "--folds", 3)
    assert isinstance(done.exception, StoreError)
    assert "s00: features of 1 tile are not finite, such as those of tile 0; run wsi-embed verify" in str(
        done.exception
    )


def test_a_missing_extra_is_named(made: Witnessed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fit", "nets"):
        monkeypatch.delitem(sys.modules, f"wsi_embed.evaluate.mil.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "torchmil.models", None)
    done = typed(made.store.path, labels_of(tmp_path / "l.csv", made.labels), "--folds", 3)
    assert isinstance(done.exception, MissingExtraError)
    assert str(done.exception).endswith(f"; {install_command('mil')}")


def test_the_network_is_kept(made: Witnessed, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    labels, file = labels_of(tmp_path / "l.csv", made.labels), tmp_path / "m.onnx"
    arguments = ("--method", "abmil", "--folds", 3, "--epochs", 2, "--export", file)
    done = typed(made.store.path, labels, *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(file)
    assert MilModel(file).metadata.training["bags"] == {"a": 12, "b": 12}
    for again, says in (
        (arguments, "exists already; give another name, or replace it with --overwrite"),
        (("--method", "mean", "--export", tmp_path / "n.onnx"), "--method mean has no network to export"),
    ):
        done = typed(made.store.path, labels, *again, "--out", tmp_path / "other")
        assert isinstance(done.exception, UsageError)
        assert says in str(done.exception)
        assert "fold" not in done.stderr
