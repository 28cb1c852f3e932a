from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.probe import STRENGTHS, fit_probe, validation_part


def clouds(count: int, shift: float, seed: int) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Two clouds, `count` points in all, the first twice as large."""
    rng = np.random.default_rng(seed)
    labels = ["normal", "normal", "tumour"] * (count // 3)
    rows = rng.normal(size=(len(labels), 6)).astype(np.float32)
    rows[:, 0] += shift * (np.array(labels) == "tumour")
    return rows, labels


def test_it_is_the_regression_with_the_strength_it_chose() -> None:
    features, labels = clouds(90, 2.0, 0)
    probe = fit_probe(features, labels, [""] * 90)
    model = LogisticRegression(C=probe.strength, class_weight="balanced", max_iter=1000)
    expected = make_pipeline(StandardScaler(), model).fit(features, labels)
    test = clouds(60, 2.0, 1)[0]
    assert probe.strength in STRENGTHS
    np.testing.assert_allclose(probe.probabilities(test), expected.predict_proba(test), atol=1e-6)
    assert probe.predict(test) == expected.predict(test).tolist()
    assert probe.classes == ["normal", "tumour"]


def test_noise_wants_a_strong_regularisation() -> None:
    """Many features of noise: only a strong one is right on rows that were not fitted."""
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 30
    features = rng.normal(size=(60, 200)).astype(np.float32)
    features[:, :20] += 0.7 * np.array([[label == "a"] for label in labels])
    assert fit_probe(features, labels, [""] * 60).strength < 1


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=8, max_size=60), st.integers(0, 5)
)
def test_a_group_never_chooses_for_itself(rows: list[tuple[str, int]], seed: int) -> None:
    labels, groups = np.array([r[0] for r in rows]), np.array([f"g{r[1]}" for r in rows])
    try:
        fit, held = validation_part(labels, groups, seed)
    except UsageError:  # too few groups: these are named in the message
        return
    assert sorted([*fit, *held]) == list(range(len(rows)))
    assert not set(groups[fit]) & set(groups[held])
    assert set(labels[fit]) == set(labels)
    assert len(held) > 0


def test_the_same_seed_is_the_same_probe() -> None:
    features, labels = clouds(60, 1.0, 0)
    a, b = (fit_probe(features, labels, [""] * 60, seed=3) for _ in range(2))
    assert np.array_equal(a.probabilities(features), b.probabilities(features))


def test_a_class_of_one_group_is_refused() -> None:
    features, labels = clouds(30, 1.0, 0)
    groups = ["only" if label == "tumour" else "" for label in labels]
    with pytest.raises(UsageError, match=r"two groups \(patients, slides\) .* but tumour has only one"):
        fit_probe(features, labels, groups)
