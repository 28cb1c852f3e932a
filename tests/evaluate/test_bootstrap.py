"""The bootstrap over groups, against resampling tile by tile and known variances."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from wsi_embed.evaluate import bootstrap
from wsi_embed.evaluate.bootstrap import balanced_accuracies, bootstrap_accuracies

Bool = npt.NDArray[np.bool_]


def made(tiles: int, groups: int, seed: int = 0) -> tuple[Bool, npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Three classifiers on tiles of three classes, whose groups are easy or hard."""
    rng = np.random.default_rng(seed)
    of_group = rng.integers(groups, size=tiles)
    labels = rng.choice([*"aab", "c"], size=tiles)
    right = rng.random((3, tiles)) < rng.random(groups)[of_group]
    return right, labels, np.array([f"g{n}" for n in of_group])


@pytest.mark.filterwarnings("ignore:A single label")
@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_balanced_accuracy_is_that_of_scikit_learn(tiles: list[tuple[str, str]]) -> None:
    labels, predicted = (np.array(column) for column in zip(*tiles, strict=True))
    known = np.isin(predicted, labels)  # scikit-learn warns about the others
    predicted = np.where(known, predicted, labels)
    right = np.stack([labels == predicted, labels == labels])
    expected = balanced_accuracy_score(labels, predicted)
    assert balanced_accuracies(right, labels).tolist() == pytest.approx([expected, 1.0])


def test_each_resample_is_what_the_tiles_of_its_groups_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same groups drawn, one resample at a time, with lists of tiles; the block does not matter."""
    right, labels, groups = made(90, 12)
    names, found = np.unique(groups), bootstrap_accuracies(right, labels, groups, resamples=50, seed=3)
    rng, expected = np.random.default_rng(3), []
    for _ in range(50):
        chosen = names[rng.integers(len(names), size=len(names))]
        tiles = np.concatenate([np.flatnonzero(groups == name) for name in chosen])
        recalls = [
            [right[s, tiles][labels[tiles] == name].mean() for name in np.unique(labels[tiles])]
            for s in range(3)
        ]
        expected.append([float(np.mean(of)) for of in recalls])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    monkeypatch.setattr(bootstrap, "BLOCK", 40)
    np.testing.assert_array_equal(found, bootstrap_accuracies(right, labels, groups, resamples=50, seed=3))


def test_the_spread_is_that_of_groups_and_not_of_tiles() -> None:
    """All tiles of a group are right or wrong together: the variance is that of 100 draws, not of 2,000."""
    groups = np.repeat(np.arange(100), 20).astype(str)
    right = np.repeat(np.arange(100) % 2 == 0, 20)[None]
    labels = np.full(2000, "a")
    drawn = bootstrap_accuracies(right, labels, groups, resamples=4000)
    assert drawn.mean() == pytest.approx(0.5, abs=0.005)
    assert drawn.std() == pytest.approx(0.5 / np.sqrt(100), rel=0.05)


def test_the_same_predictions_differ_by_nothing() -> None:
    right, labels, groups = made(300, 30)
    drawn = bootstrap_accuracies(np.stack([right[0], right[1], right[0]]), labels, groups)
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, 0] != drawn[:, 1]).any()


def test_a_class_that_a_resample_lacks_does_not_count() -> None:
    """Class b, always wrong, is in one of four groups: a resample without it has the accuracy 1."""
    labels, groups = np.array([*"aaaab"]), np.array([*"12344"])
    drawn = bootstrap_accuracies(labels[None] == "a", labels, groups, resamples=4000)
    assert set(drawn.ravel().tolist()) == {0.5, 1.0}
    assert (drawn == 1.0).mean() == pytest.approx(0.75**4, abs=0.03)


def test_two_thousand_resamples_take_less_than_two_seconds() -> None:
    right, labels, groups = made(20_000, 400)
    right = np.tile(right, (4, 1))
    start = time.process_time()
    assert bootstrap_accuracies(right, labels, groups).shape == (2000, 12)
    assert time.process_time() - start < 4  # of all threads
