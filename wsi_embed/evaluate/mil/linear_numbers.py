"""Prediction of numbers by one vector for each bag: ridge regression, and Cox's model with a penalty."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import Ridge

from wsi_embed.evaluate.mil.cox import cox_loss
from wsi_embed.evaluate.mil.folds import Fold, Index
from wsi_embed.evaluate.mil.objectives import objective_of
from wsi_embed.evaluate.mil.settings import MilSettings, Predictions
from wsi_embed.evaluate.mil.tasks import Survival, Task

Float = npt.NDArray[np.float64]
# Weights of the squared norm beside the mean loss of a bag, the strongest first: of equal ones it is taken.
PENALTIES = tuple(10.0**power for power in range(2, -5, -1))


def predict_numbers(
    vectors: npt.NDArray[np.float32], task: Task, fold: Fold, settings: MilSettings
) -> Predictions:
    """Fit a linear model on the bags of a fold, and predict its test bags.

    The penalty is chosen on the validation bags, by the score that chooses the epoch of a network. The final
    model is fitted on the training and validation bags together.

    Args:
        vectors: Vectors of all bags, float32 [bags, D].
        task: Survival or regression of these bags.
        fold: Training, validation and test bags.
        settings: Settings of the method.
    """
    objective = objective_of(task, fold.train, settings)
    scores = [
        objective.rank(_predicted(vectors, task, fold.train, fold.validation, penalty), fold.validation)
        for penalty in PENALTIES
    ]
    best = max(range(len(PENALTIES)), key=lambda n: scores[n])
    learned = np.sort(np.concatenate([fold.train, fold.validation]))
    return Predictions(fold, _predicted(vectors, task, learned, fold.test, PENALTIES[best]))


def _predicted(
    vectors: npt.NDArray[np.float32], task: Task, train: Index, test: Index, penalty: float
) -> Float:
    """Return the predictions of the test bags, float64 [test, 1], by a model of the training bags."""
    rows = vectors.astype(np.float64)
    mean, std = rows[train].mean(0), rows[train].std(0)
    rows = (rows - mean) / np.where(std > 1e-6, std, 1)
    values = task.bags.values[train]
    if isinstance(task, Survival):
        weights = cox_weights(rows[train], values[:, 0], values[:, 1], penalty)
        return np.asarray(rows[test] @ weights, np.float64)[:, None]
    model = Ridge(alpha=penalty * len(train)).fit(rows[train], values[:, 0])
    return np.asarray(model.predict(rows[test]), np.float64)[:, None]


def cox_weights(rows: Float, times: Float, events: Float, penalty: float) -> Float:
    """Return the weights of Cox's model, float64 [D], which minimise its loss and the penalised squared norm.

    Args:
        rows: Standardised vectors, float64 [bags, D].
        times: Time of the event or of the end of observation, float64 [bags].
        events: 1 if the event was observed, 0 if the time is censored, [bags].
        penalty: Weight of half the squared norm of the weights.
    """
    x, when, observed = (torch.from_numpy(np.ascontiguousarray(each)) for each in (rows, times, events))
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> float:
        solver.zero_grad()
        value = cox_loss(x @ weights, when, observed) + penalty / 2 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    solver.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray(weights.detach().numpy(), np.float64)
