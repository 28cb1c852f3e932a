"""Training of a multiple-instance network on the bags of a fold, and prediction of its test bags."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from wsi_embed.errors import DeviceError, WsiEmbedError
from wsi_embed.evaluate.mil.bags import BagFeatures, Features
from wsi_embed.evaluate.mil.folds import Fold, Index
from wsi_embed.evaluate.mil.nets import BagNet
from wsi_embed.evaluate.mil.objectives import Objective, objective_of
from wsi_embed.evaluate.mil.settings import LEAST_EPOCHS, NETS, MilSettings, Predictions
from wsi_embed.evaluate.mil.tasks import Task
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import argument

Float = npt.NDArray[np.float64]
# Numbers in a bag from which several threads are faster than one.
LARGE = 2**21
# Smallest gain of the second score of `Objective.rank` that counts as an improvement if the first is equal.
LEAST_GAIN = 0.01


@dataclass
class _Best:
    """The best weights so far, by the two scores of `Objective.rank`."""

    score: tuple[float, float] = (-np.inf, -np.inf)
    epoch: int = 0
    weights: dict[str, torch.Tensor] | None = None


def fit_fold(features: BagFeatures, task: Task, fold: Fold, settings: MilSettings) -> Predictions:
    """Train on the bags of a fold with early stopping, and predict its test bags.

    A step takes one bag, as published for DSMIL, CLAM and TransMIL, and for survival a batch of bags. The
    predictions use the weights of the epoch with the best score on the validation part; see `objectives`.

    Args:
        features: Features of all bags.
        task: Labels of all bags.
        fold: Training, validation and test bags.
        settings: Settings of the training.

    Raises:
        DeviceError: If the device is not available.
        WsiEmbedError: If the training diverges.
    """
    rng = np.random.default_rng((fold.seed, fold.number))
    objective = objective_of(task, fold.train, settings)
    with _new_net(features, task, fold.train, settings, rng) as net:
        objective.prepare(net)
        best = _fit(net, features, objective, fold, settings, rng)
        if best.weights is not None:
            net.load_state_dict(best.weights)
        outputs, attention = _predict(net, features, fold.test)
    return Predictions(fold, outputs, best.epoch, best.score[0], attention)


def fit_all(features: BagFeatures, task: Task, epochs: int, settings: MilSettings) -> BagNet:
    """Train on all bags for a number of epochs, as `fit_fold` does on those of a fold.

    Args:
        features: Features of all bags.
        task: Labels of all bags.
        epochs: Number of epochs.
        settings: Settings of the training; `epochs` and `patience` are not used.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        DeviceError: If the device is not available.
    """
    rng, numbers = np.random.default_rng(0), np.arange(len(features))
    objective = objective_of(task, numbers, settings)
    with _new_net(features, task, numbers, settings, rng) as net:
        objective.prepare(net)
        train_epoch = _trainer(net, features, objective, numbers, settings, rng)
        for _ in tracked(range(epochs), "epochs on all bags"):
            train_epoch()
    return net.eval().cpu()


@contextlib.contextmanager
def _new_net(
    features: BagFeatures, task: Task, train: Index, settings: MilSettings, rng: np.random.Generator
) -> Iterator[BagNet]:
    """Create a network, and set threads and PyTorch's random numbers for its training within the block."""
    device = _device(settings.device)
    with (
        _threads(settings.threads or _useful_threads(features, train, device)),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(int(rng.integers(2**31)))
        net = NETS.get(settings.method)(features.dim, len(task.outputs)).to(device)
        net.standardise(*map(torch.from_numpy, features.statistics(train)))
        yield net


def _useful_threads(features: BagFeatures, train: Index, device: torch.device) -> int:
    """Return one thread for small bags, for which the others would only wait, else PyTorch's number."""
    if device.type != "cpu":
        return torch.get_num_threads()
    numbers = features.sizes[train] * features.dim
    return 1 if float(np.mean(numbers)) < LARGE else torch.get_num_threads()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Use a number of threads, and afterwards the number from before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(
    net: BagNet,
    features: BagFeatures,
    objective: Objective,
    fold: Fold,
    settings: MilSettings,
    rng: np.random.Generator,
) -> _Best:
    train_epoch = _trainer(net, features, objective, fold.train, settings, rng)
    best, gained = _Best(), _Best()
    what = f"epochs at most of fold {fold.number + 1}"
    for epoch in tracked(range(1, settings.epochs + 1), what):
        train_epoch()
        score = _validate(net, features, objective, fold.validation)
        if score > best.score:
            best = _Best(score, epoch, copy.deepcopy(net.state_dict()))
        if score[0] > gained.score[0] or score > (gained.score[0], gained.score[1] + LEAST_GAIN):
            gained = _Best(score, epoch)
        elif epoch - gained.epoch >= settings.patience and epoch >= LEAST_EPOCHS:
            break
    return best


def _trainer(
    net: BagNet,
    features: BagFeatures,
    objective: Objective,
    train: Index,
    settings: MilSettings,
    rng: np.random.Generator,
) -> Callable[[], None]:
    """Return a function that trains for one epoch."""
    device = next(net.parameters()).device
    optimizer = torch.optim.AdamW(net.parameters(), settings.lr, weight_decay=settings.weight_decay)

    def train_epoch() -> None:
        net.train()
        steps = list(objective.batches(train, rng))
        stream = features.stream([number for step in steps for number in step])
        for numbers in steps:
            bags = (next(stream)[1] for _ in numbers)
            tensors = [_tensor(_some(bag, settings.max_tiles, rng), device) for bag in bags]
            loss = objective.loss(net, tensors, numbers)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return train_epoch


def _validate(
    net: BagNet, features: BagFeatures, objective: Objective, numbers: Index
) -> tuple[float, float]:
    """Return the scores of the validation bags by which epochs are compared."""
    outputs, _ = _predict(net, features, numbers, attention=False)
    if not np.isfinite(outputs).all():
        raise WsiEmbedError(
            "the training diverged: its predictions are no numbers", remedy="use a lower `lr=`"
        )
    return objective.rank(outputs, numbers)


def _predict(
    net: BagNet, features: BagFeatures, numbers: Index, attention: bool = True
) -> tuple[Float, list[npt.NDArray[np.float32]]]:
    net.eval()
    device = next(net.parameters()).device
    outputs, paid = [], []
    for _, bag in features.stream(numbers.tolist()):
        of_bag, of_tiles = net.predict(_tensor(bag, device))
        outputs.append(of_bag.double().cpu().numpy())
        if attention:
            paid.append(of_tiles.float().cpu().numpy())
    return np.stack(outputs), paid


def _some(bag: Features, most: int | None, rng: np.random.Generator) -> Features:
    """Return a bag, or a random sample of its tiles if it has more than `most`."""
    if most is None or len(bag) <= most:
        return bag
    return bag[np.sort(rng.choice(len(bag), most, replace=False))]


def _tensor(bag: Features, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(bag)).to(device)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(
            f"{argument('device', name)} cannot be used: PyTorch sees no GPU",
            remedy="use `device='cpu'` or auto",
        )
    return torch.device(name)
