"""Steps and losses of the tasks, and the linear models of numbers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchmil")

from wsi_embed.bags.labels import LabelledBag, LabelledBags  # noqa: E402
from wsi_embed.evaluate.mil.cox import cox_loss  # noqa: E402
from wsi_embed.evaluate.mil.linear_numbers import cox_weights  # noqa: E402
from wsi_embed.evaluate.mil.nets import Abmil  # noqa: E402
from wsi_embed.evaluate.mil.objectives import CoxObjective, NumberObjective  # noqa: E402
from wsi_embed.evaluate.mil.tasks import Regression, Survival  # noqa: E402


def bags_of(values: list[tuple[float, ...]], columns: tuple[str, ...]) -> LabelledBags:
    bags = tuple(LabelledBag(f"s{n}", (f"s{n}",), None, "", values=v) for n, v in enumerate(values))
    return LabelledBags(bags, (), "slide", columns=columns)


def test_events_are_spread_over_the_batches() -> None:
    bags = bags_of([(float(n), float(n % 5 == 0)) for n in range(50)], ("time", "event"))
    train = np.arange(3, 50)
    objective = CoxObjective(Survival(bags), batch=8)
    batches = list(objective.batches(train, np.random.default_rng(0)))
    assert sorted(number for batch in batches for number in batch) == train.tolist()
    assert {len(batch) for batch in batches} == {7, 8}
    assert {sum(number % 5 == 0 for number in batch) for batch in batches} == {1, 2}
    assert batches != list(objective.batches(train, np.random.default_rng(1)))


@pytest.mark.parametrize(("loss", "expected"), [("mse", 4.0), ("l1", 2.0)])
def test_the_loss_of_a_number_is_in_standardised_units(loss: str, expected: float) -> None:
    """Targets of mean 50 and deviation 10: an output of 1 for the target 40 is two deviations off."""
    bags = bags_of([(40.0,), (60.0,), (1000.0,)], ("age",))
    objective = NumberObjective(Regression(bags), np.array([0, 1]), loss)
    net = Abmil(4, 1).eval()
    objective.prepare(net)
    torch.nn.init.zeros_(net.model.classifier.weight)
    torch.nn.init.ones_(net.model.classifier.bias)
    assert float(objective.loss(net, [torch.randn(3, 4)], [0]).detach()) == pytest.approx(expected)
    assert float(net.predict(torch.randn(3, 4))[0]) == pytest.approx(60)
    # both predicted as 40: one right, one two deviations off, and R2 is 1 - 400 / 200
    ranked = objective.rank(np.array([[40.0], [40.0]]), np.array([0, 1]))
    assert ranked == pytest.approx((-1.0, -expected / 2))


def test_the_weights_of_coxs_model_minimise_its_loss() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 3))
    times, events = np.ceil(rng.exponential(np.exp(-rows[:, 0])) * 5), (rng.random(40) < 0.7).astype(float)
    weights = cox_weights(rows, times, events, 0.1)

    def value(w: np.ndarray) -> float:
        risks = torch.from_numpy(rows @ w)
        return float(cox_loss(risks, torch.from_numpy(times), torch.from_numpy(events))) + 0.05 * float(w @ w)

    best = value(weights)
    for step in 1e-3 * np.vstack([np.eye(3), -np.eye(3)]):
        assert value(weights + step) > best
    assert weights[0] > 0.3
    assert np.linalg.norm(cox_weights(rows, times, events, 100.0)) < 0.05
