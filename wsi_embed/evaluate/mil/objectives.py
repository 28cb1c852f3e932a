"""Losses of the tasks for networks, and the scores by which the best epoch is chosen."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wsi_embed.evaluate.mil.concordance import concordance_index
from wsi_embed.evaluate.mil.cox import cox_loss
from wsi_embed.evaluate.mil.folds import Index
from wsi_embed.evaluate.mil.nets import BagNet
from wsi_embed.evaluate.mil.regression_scores import r2
from wsi_embed.evaluate.mil.scores import macro_auc
from wsi_embed.evaluate.mil.settings import MilSettings
from wsi_embed.evaluate.mil.tasks import Classification, Regression, Survival, Task

Float = npt.NDArray[np.float64]


class Objective(abc.ABC):
    """Loss of a task on training bags."""

    def prepare(self, net: BagNet) -> None:  # noqa: B027  # most networks need nothing
        """Set what a network needs to know of the training targets."""

    def batches(self, train: Index, rng: np.random.Generator) -> Iterator[list[int]]:
        """Yield the numbers of the bags of each step of an epoch: one bag, in random order."""
        yield from ([number] for number in rng.permutation(train).tolist())

    @abc.abstractmethod
    def loss(self, net: BagNet, bags: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
        """Return the loss of the bags of a step, a scalar."""

    @abc.abstractmethod
    def rank(self, outputs: Float, numbers: Index) -> tuple[float, float]:
        """Return two scores of validation bags, the higher the better; the second decides between equals."""


class ClassObjective(Objective):
    """Loss of each network for classes, weighted by the inverse frequency of the class in training."""

    def __init__(self, task: Classification, train: Index) -> None:
        self._targets = task.bags.targets
        counts = np.bincount(self._targets[train], minlength=len(task.outputs))
        self._weights = len(train) / (len(task.outputs) * np.maximum(counts, 1))

    def loss(self, net: BagNet, bags: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
        """Return the weighted loss of one bag."""
        target = int(self._targets[numbers[0]])
        loss = net.loss(bags[0], torch.tensor(target, device=bags[0].device))
        return loss * float(self._weights[target])

    def rank(self, outputs: Float, numbers: Index) -> tuple[float, float]:
        """Return the macro AUC, and the mean log likelihood with equal weights of the classes."""
        truth = self._targets[numbers]
        likelihood = np.log(np.maximum(outputs[np.arange(len(truth)), truth], 1e-12))
        balanced = np.mean([likelihood[truth == number].mean() for number in np.unique(truth)])
        # with a single class there is no AUC, and only the likelihood decides
        return float(np.nan_to_num(macro_auc(truth, outputs))), float(balanced)


class CoxObjective(Objective):
    """Cox partial likelihood of batches of bags, each with its share of the events."""

    def __init__(self, task: Survival, batch: int) -> None:
        self._times, self._events = task.bags.values.T
        self._batch = batch

    def batches(self, train: Index, rng: np.random.Generator) -> Iterator[list[int]]:
        """Yield batches of about equal size, over which the events are spread evenly."""
        order = rng.permutation(train)
        order = order[np.argsort(-self._events[order], kind="stable")]
        count = math.ceil(len(order) / self._batch)
        yield from (order[start::count].tolist() for start in range(count))

    def loss(self, net: BagNet, bags: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
        """Return the loss of a batch."""
        risks = torch.cat([net.raw(bag) for bag in bags])
        times, events = (
            torch.from_numpy(values[list(numbers)]).to(risks.device) for values in (self._times, self._events)
        )
        return cox_loss(risks, times, events)

    def rank(self, outputs: Float, numbers: Index) -> tuple[float, float]:
        """Return the concordance index, and the mean log partial likelihood."""
        times, events = self._times[numbers], self._events[numbers]
        loss = cox_loss(*map(torch.from_numpy, (outputs[:, 0], times, events)))
        return float(np.nan_to_num(concordance_index(times, events, outputs[:, 0]))), -float(loss)


class NumberObjective(Objective):
    """Squared or absolute error of numbers, which are standardised by the training targets."""

    def __init__(self, task: Regression, train: Index, loss: str) -> None:
        self._values = task.bags.values[:, 0]
        self._mean, self._std = self._values[train].mean(), self._values[train].std() or 1.0
        self._loss = torch.nn.functional.mse_loss if loss == "mse" else torch.nn.functional.l1_loss

    def prepare(self, net: BagNet) -> None:
        """Set the mean and the deviation that turn the output of a network into a prediction."""
        net.target_mean, net.target_std = float(self._mean), float(self._std)

    def loss(self, net: BagNet, bags: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
        """Return the loss of one bag."""
        wanted = (self._values[list(numbers)] - self._mean) / self._std
        output = net.raw(bags[0])
        return self._loss(output, torch.as_tensor(wanted, dtype=output.dtype, device=output.device))

    def rank(self, outputs: Float, numbers: Index) -> tuple[float, float]:
        """Return R2 in whole hundredths, and the negative loss in standardised units."""
        values = self._values[numbers]
        errors = torch.from_numpy((outputs[:, 0] - values) / self._std)
        share = r2(values, outputs[:, 0])
        hundredths = 0.0 if math.isnan(share) else math.floor(100 * share) / 100
        return hundredths, -float(self._loss(errors, torch.zeros_like(errors)))


def objective_of(task: Task, train: Index, settings: MilSettings) -> Objective:
    """Return the objective of a task for the training bags with the given numbers."""
    if isinstance(task, Survival):
        return CoxObjective(task, settings.batch)
    if isinstance(task, Regression):
        return NumberObjective(task, train, settings.loss)
    assert isinstance(task, Classification)
    return ClassObjective(task, train)
