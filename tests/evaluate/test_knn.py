from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from wsi_embed.evaluate import evaluate_knn, nearest_neighbours

Rows = npt.NDArray[np.float64]


def made(count: int, seed: int, dim: int = 5) -> Rows:
    return np.random.default_rng(seed).normal(size=(count, dim))


def brute_force(queries: Rows, keys: Rows, k: int) -> list[list[int]]:
    found = []
    for q in queries:
        cosine = [float(q @ key / (np.linalg.norm(q) * np.linalg.norm(key))) for key in keys]
        found.append(sorted(range(len(keys)), key=lambda i: -cosine[i])[:k])
    return found


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_neighbours_equal_brute_force(queries: int, keys: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, keys))
    q, n = made(queries, 1), made(keys, 2)
    assert nearest_neighbours(q, n, k).tolist() == brute_force(q, n, k)


def test_blocks_do_not_matter() -> None:
    q, n = made(23, 1), made(50, 2)
    assert np.array_equal(nearest_neighbours(q, n, 3, block=4), nearest_neighbours(q, n, 3))


def test_length_does_not_matter() -> None:
    keys = np.array([[100.0, 1.0], [0.1, 0.1]])
    assert nearest_neighbours(np.array([[1.0, 0.9]]), keys).tolist() == [[1]]


def test_float16_features_of_a_store() -> None:
    q, n = made(10, 1).astype(np.float16), made(20, 2).astype(np.float16)
    expected = brute_force(q.astype(np.float64), n.astype(np.float64), 1)
    assert nearest_neighbours(q, n).tolist() == expected


def test_no_queries() -> None:
    assert nearest_neighbours(np.empty((0, 5)), made(4, 0), 2).shape == (0, 2)


@pytest.mark.parametrize("k", [0, 5])
def test_impossible_k_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k = {k} neighbours of 4 keys"):
        nearest_neighbours(made(1, 0), made(4, 0), k)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_scores_equal_scikit_learns(k: int) -> None:
    rng = np.random.default_rng(0)
    train_labels = rng.choice(["normal", "tumour"], 60, p=[0.7, 0.3])  # two labels, odd k: no ties
    test_labels = rng.choice(["normal", "tumour"], 40)
    shift = {"normal": 0.0, "tumour": 1.0}
    train = made(60, 1) + np.array([[shift[label]] for label in train_labels])
    test = made(40, 2) + np.array([[shift[label]] for label in test_labels])
    predicted = KNeighborsClassifier(k, metric="cosine").fit(train, train_labels).predict(test)
    scores = evaluate_knn(train, train_labels.tolist(), test, test_labels.tolist(), k)
    assert scores.f1_macro == pytest.approx(f1_score(test_labels, predicted, average="macro"))
    recalls = [(predicted[test_labels == name] == name).mean() for name in shift]
    assert scores.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert 0.5 < scores.f1_macro < 1
    assert (scores.train_tiles, scores.test_tiles) == (60, 40)


def test_tie_goes_to_the_nearer_label() -> None:
    train, test = np.array([[1.0, 0.0], [1.0, 0.5]]), np.array([[1.0, 0.1], [1.0, 0.4]])
    assert evaluate_knn(train, ["z", "a"], test, ["z", "a"], k=2).f1_macro == 1.0
