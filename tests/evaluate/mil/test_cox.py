"""The Cox loss against its definition with loops, and against values by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from wsi_embed.evaluate.mil.cox import cox_loss  # noqa: E402

Row = tuple[float, float, int]
rows = st.lists(
    st.tuples(st.floats(-3, 3), st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0]), st.integers(0, 1)),
    min_size=1,
    max_size=12,
)


def loss_of(given_rows: list[Row]) -> float:
    risks, times, events = (
        torch.tensor(column, dtype=torch.float64) for column in zip(*given_rows, strict=True)
    )
    return float(cox_loss(risks, times, events))


def slow_loss(given_rows: list[Row]) -> float:
    """Efron (1977), time by time and event by event."""
    total, count = 0.0, 0
    for at in {time for _, time, event in given_rows if event}:
        tied = [math.exp(risk) for risk, time, event in given_rows if event and time == at]
        left = [math.exp(risk) for risk, time, _ in given_rows if time >= at]
        for k, hazard in enumerate(tied):
            total += math.log(hazard) - math.log(sum(left) - k / len(tied) * sum(tied))
            count += 1
    return -total / count if count else 0.0


@settings(max_examples=80)
@given(rows)
def test_it_is_efrons_likelihood(given_rows: list[Row]) -> None:
    assert loss_of(given_rows) == pytest.approx(slow_loss(given_rows), abs=1e-9)


def test_values_by_hand() -> None:
    # equal risks: the first event is one of three, the second one of two, the last one of one
    assert loss_of([(0, 1, 1), (0, 2, 1), (0, 3, 1)]) == pytest.approx((math.log(3) + math.log(2)) / 3)
    # a censored time leaves the risk set without a term of its own
    assert loss_of([(0, 1, 0), (0, 2, 1), (0, 3, 0)]) == pytest.approx(math.log(2))
    # two tied events among three: 1/3, then 1/(3 - 2/2)
    assert loss_of([(0, 1, 1), (0, 1, 1), (0, 2, 0)]) == pytest.approx((math.log(3) + math.log(2)) / 2)
    # hazards 2 and 1: the likelihood of the first is 2/3
    assert loss_of([(math.log(2), 1, 1), (0, 2, 0)]) == pytest.approx(math.log(3 / 2))


def test_a_batch_without_events_has_no_gradient() -> None:
    risks = torch.tensor([1.0, 2.0], requires_grad=True)
    cox_loss(risks, torch.tensor([1.0, 2.0]), torch.zeros(2)).backward()  # type: ignore[no-untyped-call]
    assert risks.grad is not None
    assert risks.grad.tolist() == [0, 0]


def test_the_gradient_is_that_of_the_loss() -> None:
    torch.manual_seed(0)
    risks = torch.randn(9, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([1.0, 1, 2, 2, 2, 3, 4, 5, 5], dtype=torch.float64)
    events = torch.tensor([1.0, 1, 0, 1, 1, 0, 1, 1, 0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda each: cox_loss(each, times, events), (risks,))


def test_large_risks_stay_finite() -> None:
    assert loss_of([(300, 1, 1), (-300, 2, 1), (0, 3, 0)]) == pytest.approx(
        slow_loss([(0, 2, 1), (300, 3, 0)]) / 2
    )
