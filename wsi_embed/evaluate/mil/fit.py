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
from wsi_embed.evaluate.mil.scores import macro_auc
from wsi_embed.evaluate.mil.settings import LEAST_EPOCHS, NETS, MilSettings, Predictions
from wsi_embed.util.progress import tracked
from wsi_embed.util.text import argument

Float = npt.NDArray[np.float64]
# Numbers in a bag from which several threads are faster than one.
LARGE = 2**21
# Smallest gain of the mean log likelihood that counts as an improvement at equal AUC.
LEAST_GAIN = 0.01


@dataclass
class _Best:
    """The best weights so far, by validation AUC, then by validation likelihood."""

    score: tuple[float, float] = (-1.0, -np.inf)
    epoch: int = 0
    weights: dict[str, torch.Tensor] | None = None


def fit_fold(
    features: BagFeatures,
    targets: npt.NDArray[np.int64],
    classes: int,
    fold: Fold,
    settings: MilSettings,
) -> Predictions:
    """Train on the bags of a fold with early stopping, and predict its test bags.

    A step takes one bag, as published for DSMIL, CLAM and TransMIL, weighted by the inverse frequency of its
    class in the training part. The predictions use the weights of the epoch with the best macro AUC on the
    validation part, among equal ones that with the best likelihood.

    Args:
        features: Features of all bags.
        targets: Class of each bag, int64 [bags].
        classes: Number of classes.
        fold: Training, validation and test bags.
        settings: Settings of the training.

    Raises:
        DeviceError: If the device is not available.
        WsiEmbedError: If the training diverges.
    """
    rng = np.random.default_rng((fold.seed, fold.number))
    with _new_net(features, classes, fold.train, settings, rng) as net:
        best = _fit(net, features, targets, fold, settings, rng)
        if best.weights is not None:
            net.load_state_dict(best.weights)
        probabilities, attention = _predict(net, features, fold.test)
    return Predictions(fold, probabilities, best.epoch, best.score[0], attention)


def fit_all(
    features: BagFeatures, targets: npt.NDArray[np.int64], classes: int, epochs: int, settings: MilSettings
) -> BagNet:
    """Train on all bags for a number of epochs, as `fit_fold` does on those of a fold.

    Args:
        features: Features of all bags.
        targets: Class of each bag, int64 [bags].
        classes: Number of classes.
        epochs: Number of epochs.
        settings: Settings of the training; `epochs` and `patience` are not used.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        DeviceError: If the device is not available.
    """
    rng, numbers = np.random.default_rng(0), np.arange(len(targets))
    with _new_net(features, classes, numbers, settings, rng) as net:
        train_epoch = _trainer(net, features, targets, numbers, settings, rng)
        for _ in tracked(range(epochs), "epochs on all bags"):
            train_epoch()
    return net.eval().cpu()


@contextlib.contextmanager
def _new_net(
    features: BagFeatures, classes: int, train: Index, settings: MilSettings, rng: np.random.Generator
) -> Iterator[BagNet]:
    """Create a network, and set threads and PyTorch's random numbers for its training within the block."""
    device = _device(settings.device)
    with (
        _threads(settings.threads or _useful_threads(features, train, device)),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(int(rng.integers(2**31)))
        net = NETS.get(settings.method)(features.dim, classes).to(device)
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
    targets: npt.NDArray[np.int64],
    fold: Fold,
    settings: MilSettings,
    rng: np.random.Generator,
) -> _Best:
    train_epoch = _trainer(net, features, targets, fold.train, settings, rng)
    best, gained = _Best(), _Best()
    what = f"epochs at most of fold {fold.number + 1}"
    for epoch in tracked(range(1, settings.epochs + 1), what):
        train_epoch()
        score = _validate(net, features, targets, fold.validation)
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
    targets: npt.NDArray[np.int64],
    train: Index,
    settings: MilSettings,
    rng: np.random.Generator,
) -> Callable[[], None]:
    """Return a function that trains for one epoch."""
    device = next(net.parameters()).device
    optimizer = torch.optim.AdamW(net.parameters(), settings.lr, weight_decay=settings.weight_decay)
    counts = np.bincount(targets[train], minlength=net.classes)
    weights = len(train) / (net.classes * np.maximum(counts, 1))

    def train_epoch() -> None:
        net.train()
        for number, bag in features.stream(rng.permutation(train).tolist()):
            target = torch.tensor(targets[number], device=device)
            loss = net.loss(_tensor(_some(bag, settings.max_tiles, rng), device), target)
            optimizer.zero_grad()
            (loss * float(weights[targets[number]])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return train_epoch


def _validate(
    net: BagNet, features: BagFeatures, targets: npt.NDArray[np.int64], numbers: Index
) -> tuple[float, float]:
    """Return the macro AUC, and the mean log likelihood with equal weights of the classes."""
    probabilities, _ = _predict(net, features, numbers, attention=False)
    if not np.isfinite(probabilities).all():
        raise WsiEmbedError(
            "the training diverged: its predictions are no numbers", remedy="use a lower `lr=`"
        )
    truth = targets[numbers]
    likelihood = np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12))
    balanced = np.mean([likelihood[truth == number].mean() for number in np.unique(truth)])
    # with a single class there is no AUC, and only the likelihood decides
    return float(np.nan_to_num(macro_auc(truth, probabilities))), float(balanced)


def _predict(
    net: BagNet, features: BagFeatures, numbers: Index, attention: bool = True
) -> tuple[Float, list[npt.NDArray[np.float32]]]:
    net.eval()
    device = next(net.parameters()).device
    probabilities, paid = [], []
    for _, bag in features.stream(numbers.tolist()):
        of_classes, of_tiles = net.predict(_tensor(bag, device))
        probabilities.append(of_classes.double().cpu().numpy())
        if attention:
            paid.append(of_tiles.float().cpu().numpy())
    return np.stack(probabilities), paid


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
