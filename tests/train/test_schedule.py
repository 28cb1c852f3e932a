from __future__ import annotations

import math

import pytest

from wsi_embed_train.schedule import cosine, learning_rate_factor


@pytest.mark.parametrize("epochs", [1, 10, 50])
def test_without_warmup_it_is_the_published_cosine(epochs: int) -> None:
    for epoch in range(epochs + 1):
        published = 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
        assert learning_rate_factor(epoch, epochs) == pytest.approx(published, abs=1e-12)


def test_warmup_climbs_to_the_whole_rate_and_the_cosine_ends_at_zero() -> None:
    factors = [learning_rate_factor(epoch, 10, 4) for epoch in range(11)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[10] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("progress", "value"), [(0, 0.99), (0.5, 0.995), (1, 1.0), (1.1, 1.0)])
def test_half_a_cosine(progress: float, value: float) -> None:
    assert cosine(progress, 0.99, 1.0) == pytest.approx(value, abs=1e-12)
    assert cosine(progress, 0.99, 0.99) == 0.99
