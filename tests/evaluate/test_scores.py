from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wsi_embed.evaluate.scores import draw_confusion, score

pairs = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abc")), min_size=1, max_size=40)


@settings(max_examples=25)
@given(pairs)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_scores_are_scikit_learns(rows: list[tuple[str, str]]) -> None:
    truth, predicted = (list(column) for column in zip(*rows, strict=True))
    found = score(truth, predicted)
    assert found.accuracy == pytest.approx(sk.accuracy_score(truth, predicted))
    assert found.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    assert found.f1_macro == pytest.approx(sk.f1_score(truth, predicted, average="macro", zero_division=0))
    report = sk.classification_report(truth, predicted, output_dict=True, zero_division=0)
    for name, of in found.classes.items():
        expected = [report[name][key] for key in ("support", "precision", "recall", "f1-score")]
        assert [of.count, of.precision, of.recall, of.f1] == pytest.approx(expected)
    names = list(found.classes)
    for row, column in np.ndindex(len(names), len(names)):
        both = [(t, p) for t, p in rows if (t, p) == (names[row], names[column])]
        assert found.confusion[row][column] == len(both)


def test_the_picture_shows_shares_of_each_true_class(tmp_path: Path) -> None:
    draw_confusion(score(["a"] * 90 + ["b"] * 10, ["a"] * 90 + ["b"] * 10), tmp_path / "right.png", "right")
    draw_confusion(score(["a", "a", "b", "b"], ["a", "b", "a", "b"]), tmp_path / "even.png", "even")
    dark = []
    for name in ("right", "even"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        dark.append(int((np.abs(pixels - (8, 48, 107)).sum(2) < 8).sum()))
    assert dark[0] > 10 * dark[1]  # two whole cells of the darkest blue, however rare the class


def test_many_classes_and_long_names_can_be_drawn(tmp_path: Path) -> None:
    names = [f"a class with a long name, number {n}" for n in range(25)]
    draw_confusion(score(names, names), tmp_path / "many.png", "many")
    with Image.open(tmp_path / "many.png") as picture:
        assert picture.width > 1500
