"""Tiles by their neighbours: against counting by hand, and what cannot be evaluated."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.evaluate.tile_set import TileFeatures, TileSet, choose_classes, parse_classes
from wsi_embed.evaluate.tiles import evaluate_tiles, write_evaluation

COUNT, TEST = 60, 20
Rows = npt.NDArray[np.float64]


def made(**changes: Any) -> TileFeatures:
    """Three classes that overlap a little; the last 20 tiles are the test."""
    rng = np.random.default_rng(0)
    labels = np.array([f"class {'abc'[n % 3]}" for n in range(COUNT)])
    features = rng.normal(size=(COUNT, 5)) + 2.5 * np.eye(5)[[n % 3 for n in range(COUNT)]]
    empty = np.full(COUNT, "")
    columns: dict[str, Any] = {
        "source": "tiles.csv", "names": [f"t{n}" for n in range(COUNT)], "labels": labels,
        "test": np.arange(COUNT) >= COUNT - TEST, "groups": empty, "slides": empty, "patients": empty,
    }  # fmt: skip
    features = changes.pop("features", features)
    return TileFeatures(TileSet(**(columns | changes)), features)


def by_hand(found: TileFeatures, k: int) -> list[str]:
    """One test tile at a time; ties to the nearer."""
    test, features = found.tiles.test, found.features
    predicted = []
    for query in features[test]:
        cosine = [query @ key / (np.linalg.norm(query) * np.linalg.norm(key)) for key in features[~test]]
        near = [found.tiles.labels[~test][i] for i in np.argsort(-np.array(cosine))[:k]]
        counts = Counter(near)
        predicted.append(max(near, key=lambda label: counts[label]))  # the first of the most frequent
    return predicted


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_neighbours_are_counted_right(k: int) -> None:
    found = made()
    knn = evaluate_tiles(found, k=k).classified["knn"]
    assert knn.predicted == by_hand(found, k)
    truth = found.tiles.labels[found.tiles.test]
    assert knn.scores.accuracy == pytest.approx(np.mean(truth == np.array(knn.predicted)))


def test_a_probe_beside_it() -> None:
    evaluation = evaluate_tiles(made(), probe=True)
    assert evaluation.classified.keys() == {"knn", "probe"}
    assert evaluation.classified["probe"].scores.accuracy > 0.7
    document = evaluation.to_dict()
    assert document["probe"]["C"] > 0
    assert json.loads(json.dumps(document)) == document


def test_files(tmp_path: Path) -> None:
    found = made()
    evaluation = evaluate_tiles(found, probe=True)
    files = write_evaluation(evaluation, found.tiles, tmp_path / "new" / "out")
    assert [f.name for f in files] == [
        "scores.json", "predictions.csv", "confusion-knn.png", "confusion-probe.png",
    ]  # fmt: skip
    assert sorted(f.name for f in (tmp_path / "new" / "out").iterdir()) == sorted(f.name for f in files)
    assert json.loads(files[0].read_text()) == evaluation.to_dict()
    rows = list(csv.DictReader(files[1].open()))
    assert [row["tile"] for row in rows] == [f"t{n}" for n in range(COUNT - TEST, COUNT)]
    assert [row["knn"] for row in rows] == evaluation.classified["knn"].predicted
    assert [row["label"] for row in rows] == found.tiles.labels[found.tiles.test].tolist()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    found = made()
    with pytest.raises(WsiEmbedError, match=r"`out='.*cannot be written"):
        write_evaluation(evaluate_tiles(found), found.tiles, tmp_path / "out")


@pytest.mark.parametrize("k", [0, 41])
def test_more_neighbours_than_tiles(k: int) -> None:
    with pytest.raises(UsageError, match=f"`k={k}`: there are 40 train tiles; give 1 to 40"):
        evaluate_tiles(made(), k=k)


def test_features_that_are_no_numbers() -> None:
    features = made().features.copy()
    features[[3, 50]] = np.nan
    with pytest.raises(UsageError, match="features of 2 tiles are not finite, such as those of t3; check"):
        evaluate_tiles(made(features=features))


@pytest.mark.parametrize("side", ["train", "test"])
def test_an_empty_side(side: str) -> None:
    with pytest.raises(UsageError, match=rf"tiles\.csv: no tile has the split '{side}'"):
        evaluate_tiles(made(test=np.full(COUNT, side != "test")))


def test_one_class() -> None:
    with pytest.raises(UsageError, match="all tiles have the label 'x'; give two classes"):
        evaluate_tiles(made(labels=np.full(COUNT, "x")))


def test_groups_on_both_sides_are_refused_and_named() -> None:
    groups = np.array([f"g{n % 44}" if n % 2 else "" for n in range(COUNT)])
    both = {f"g{n % 44}" for n in range(44, COUNT) if n % 2}
    shared = sorted(both & {str(g) for g in groups[:40]} - {""})
    with pytest.raises(UsageError, match=f"{len(shared)} groups on both sides of the split: {shared[0]}"):
        evaluate_tiles(made(groups=groups))


@pytest.mark.parametrize(("column", "word"), [("slides", "slide"), ("patients", "patient")])
def test_slides_and_patients_on_both_sides_are_said(column: str, word: str) -> None:
    values = np.array([f"s{n % 50}" for n in range(COUNT)])
    notes = evaluate_tiles(made(**{column: values})).notes
    assert notes == [
        f"10 {word}s on both sides of the split (s0, s1, s2 and 7 more): their tiles are alike, and the "
        "scores too good"
    ]


def test_a_class_that_is_never_learned_is_said() -> None:
    labels = made().tiles.labels.copy()
    labels[-1] = "other"
    assert evaluate_tiles(made(labels=labels)).notes == [
        "no train tile has the label other: it is never predicted"
    ]


def test_classes_are_chosen_and_renamed() -> None:
    wanted = parse_classes(" a, b=c ")
    assert wanted == {"a": "a", "b": "c"}
    assert choose_classes(["a", "b", "d"], wanted, "x") == ["a", "c", ""]
    assert choose_classes(["a", "b", "d"], parse_classes(None), "x") == ["a", "b", "d"]
    with pytest.raises(UsageError, match=r"no label e in x; it has a, b"):
        choose_classes(["a", "b"], {"e": "e"}, "x")


def test_a_class_given_twice_is_one_and_has_one_name() -> None:
    assert parse_classes("a,b=c,a,b=c") == {"a": "a", "b": "c"}
    with pytest.raises(UsageError, match="b is given two names"):
        parse_classes("a,b=c,b")


@pytest.mark.parametrize("text", ["", "a,,b", "a=", "=b"])
def test_a_mistyped_choice(text: str) -> None:
    with pytest.raises(UsageError, match="expected LABEL or LABEL=NAME"):
        parse_classes(text)
