"""Cross-validation, against classifying by hand, and on features that are known to be better."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from tests.evaluate.made import grouped_tiles
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.evaluate.cross_validation import check_folds, cross_validate
from wsi_embed.evaluate.fold_scores import CrossValidation, write_cross_validation
from wsi_embed.evaluate.folds import Folds, draw_folds
from wsi_embed.evaluate.probe import ALPHAS
from wsi_embed.evaluate.tile_set import TileFeatures

TILES, GROUPS, CLASSES = 240, 48, 3
Rows = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def folds() -> Folds:
    """Groups of five tiles of one class, in four folds."""
    groups = np.arange(TILES) // (TILES // GROUPS)
    return draw_folds(grouped_tiles([f"class {'abc'[n % CLASSES]}" for n in groups], groups.tolist()), 4)


def features(signal: float, seed: int = 0) -> Rows:
    """Noise, a shift that the tiles of a group share, and a signal of the class."""
    rng, groups = np.random.default_rng(seed), np.arange(TILES) // (TILES // GROUPS)
    shift = rng.normal(size=(GROUPS, 6))[groups]
    return np.asarray(rng.normal(size=(TILES, 6)) + shift + signal * np.eye(6)[groups % CLASSES])


def compared(folds: Folds, **named: Rows) -> CrossValidation:
    return cross_validate({name: TileFeatures(folds.tiles, rows) for name, rows in named.items()}, folds)


def test_predictions_are_those_of_each_fold_by_hand(folds: Folds) -> None:
    rows, labels = features(1.5), folds.tiles.labels
    found = cross_validate({"x": TileFeatures(folds.tiles, rows)}, folds, k=5, probe=True)
    by = {one.classifier: one for one in found.scores}
    assert list(by) == ["1-NN", "5-NN", "ridge", "logistic"]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for fold in range(4):
        test = folds.of_tile == fold
        nearest = (unit[test] @ unit[~test].T).argmax(1)
        scale = StandardScaler().fit(rows[~test])
        ridge = RidgeClassifierCV(alphas=ALPHAS, class_weight="balanced")
        ridge.fit(scale.transform(rows[~test]), labels[~test])
        expected = {"1-NN": labels[~test][nearest], "ridge": ridge.predict(scale.transform(rows[test]))}
        for kind, predicted in expected.items():
            assert by[kind].predicted[test].tolist() == predicted.tolist()
            assert by[kind].folds[fold] == pytest.approx(balanced_accuracy_score(labels[test], predicted))
    for one in found.scores:
        together = balanced_accuracy_score(labels, one.predicted)
        assert one.balanced_accuracy.mean == pytest.approx(together)
        assert one.balanced_accuracy.mean > 0.5


def test_more_signal_is_better_and_less_is_worse(folds: Folds) -> None:
    found = compared(folds, a=features(0.3), b=features(3.0), c=features(0.3))
    assert [(one.features, one.baseline) for one in found.differences[:3]] == [
        ("b", "a"),
        ("c", "a"),
        ("c", "b"),
    ]
    for kind in ("1-NN", "ridge"):
        of = {(d.features, d.baseline): d for d in found.differences if d.classifier == kind}
        assert [of[pair].verdict for pair in (("b", "a"), ("c", "b"))] == ["better", "worse"]
        low, high = of["b", "a"].balanced_accuracy.low, of["b", "a"].balanced_accuracy.high
        assert low is not None
        assert high is not None
        assert 0 < low < of["b", "a"].balanced_accuracy.mean < high < 1
        means = {one.features: one.balanced_accuracy.mean for one in found.scores if one.classifier == kind}
        assert of["b", "a"].balanced_accuracy.mean == pytest.approx(means["b"] - means["a"])


def test_a_model_does_not_differ_from_itself(folds: Folds) -> None:
    for difference in compared(folds, a=features(0.5), copy=features(0.5)).differences:
        interval = difference.balanced_accuracy
        assert (interval.mean, interval.low, interval.high) == (0.0, 0.0, 0.0)
        assert difference.verdict == "undecided"


def test_pairing_makes_the_interval_narrow(folds: Folds) -> None:
    """Groups that are hard for both models do not hide what is better about one."""
    rows = features(1.0)
    almost = rows + np.random.default_rng(1).normal(scale=0.02, size=rows.shape)
    found = compared(folds, a=rows, b=almost)
    for kind in ("1-NN", "ridge"):
        (difference,) = (d.balanced_accuracy for d in found.differences if d.classifier == kind)
        (score,) = (s.balanced_accuracy for s in found.scores if (s.classifier, s.features) == (kind, "a"))
        widths = [float(i.high or 0) - float(i.low or 0) for i in (difference, score)]
        assert widths[0] < widths[1] / 2


def test_equal_models_are_undecided_most_of_the_time(folds: Folds) -> None:
    """The interval is to exclude zero in about one of twenty pairs of models of the same quality."""
    verdicts = []
    for seed in range(10):
        rows = {name: features(0.7, 2 * seed + n) for n, name in enumerate("ab")}
        verdicts += [d.verdict for d in compared(folds, **rows).differences if d.classifier == "1-NN"]
    assert verdicts.count("undecided") >= 7


def test_the_seed_decides_and_nothing_else(folds: Folds) -> None:
    one, two = (compared(folds, a=features(0.5), b=features(0.6)).to_dict() for _ in range(2))
    assert one == two
    other = Folds(folds.tiles, folds.of_tile, folds.count, seed=1)
    changed = compared(other, a=features(0.5), b=features(0.6)).to_dict()
    assert changed["scores"][0]["folds"] == one["scores"][0]["folds"]
    assert changed["scores"][0]["balanced_accuracy"] != one["scores"][0]["balanced_accuracy"]


def test_files(folds: Folds, tmp_path: Path) -> None:
    found = compared(folds, a=features(0.5), b=features(0.6))
    files = write_cross_validation(found, tmp_path / "new" / "out")
    assert [file.name for file in files] == ["scores.json", "predictions.csv"]
    document = json.loads(files[0].read_text())
    assert document == found.to_dict()
    assert (document["tiles"], document["groups"], document["folds"]) == (TILES, GROUPS, 4)
    assert document["classes"] == {"class a": 80, "class b": 80, "class c": 80}
    rows = list(csv.DictReader(files[1].open()))
    assert [row["fold"] for row in rows] == [str(fold) for fold in folds.of_tile]
    assert [row["group"] for row in rows] == folds.tiles.groups.tolist()
    assert [row["b: ridge"] for row in rows] == found.scores[3].predicted.tolist()
    (tmp_path / "file").write_text("")
    with pytest.raises(WsiEmbedError, match=r"`out='.*cannot be written"):
        write_cross_validation(found, tmp_path / "file")


def test_progress(folds: Folds) -> None:
    said: list[tuple[str, int, int]] = []
    given = {name: TileFeatures(folds.tiles, features(0.5)) for name in "ab"}
    cross_validate(given, folds, progress=lambda *step: said.append(step))
    assert said == [("a: folds", 1, 4)] * 4 + [("b: folds", 1, 4)] * 4


def test_features_that_cannot_be_compared_are_named(folds: Folds) -> None:
    rows = features(0.5)
    rows[3] = np.nan
    with pytest.raises(
        UsageError, match=r"^b: features of 1 tile are not finite, such as those of t3; check"
    ):
        compared(folds, a=features(0.5), b=rows)
    others = grouped_tiles([*"abc"], range(3))
    with pytest.raises(UsageError, match=r"^x: the features are not those of the tiles of the folds"):
        cross_validate({"x": TileFeatures(others, rows[:3])}, folds)


def test_what_a_probe_cannot_do_is_said_before_anything_is_computed() -> None:
    """Class b has two groups, so one is left to fit the probe, and to choose its regularisation."""
    folds = draw_folds(grouped_tiles([*"aaaaaabb"], range(8)), 2)
    assert check_folds(folds) == ["fewer than 10 groups of a, b: the intervals are too narrow"]
    with pytest.raises(
        UsageError, match=r"two groups .* of each class are needed in train, but b has only one"
    ):
        check_folds(folds, probe=True)
