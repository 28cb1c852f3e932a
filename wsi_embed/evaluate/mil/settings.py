"""Settings of an evaluation on bags, and predictions of a fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.evaluate.mil.bags import Describe
from wsi_embed.evaluate.mil.folds import Fold
from wsi_embed.util.registry import Registry, unknown_name
from wsi_embed.util.text import argument

if TYPE_CHECKING:
    from wsi_embed.evaluate.mil.nets import BagNet

# Networks, created from the number of features and the number of classes.
NETS: Registry[Callable[[int, int], BagNet]] = Registry(
    "method",
    {
        "dsmil": "wsi_embed.evaluate.mil.nets:Dsmil",
        "abmil": "wsi_embed.evaluate.mil.nets:Abmil",
        "clam": "wsi_embed.evaluate.mil.nets:Clam",
        "transmil": "wsi_embed.evaluate.mil.nets:Transmil",
    },
)
# Functions that describe each bag by one vector, for a linear model.
LINEAR: Registry[Describe] = Registry(
    "method",
    {
        "mean": "wsi_embed.evaluate.mil.linear:means",
        "cluster-histogram": "wsi_embed.evaluate.mil.linear:histograms",
    },
)
LEAST_EPOCHS = 50
LOSSES = ("mse", "l1")
# The instance loss of CLAM needs classes.
CLASSES_ONLY = ("clam",)


@dataclass(frozen=True)
class MilSettings:
    """Settings of a method on bags. All but `method` are for networks only.

    Attributes:
        method: A network (`dsmil`, `abmil`, `clam`, `transmil`), or a linear model of the mean features
            (`mean`) or of the cluster histogram (`cluster-histogram`): logistic regression, Cox's model or
            ridge regression.
        epochs: Maximum number of epochs.
        patience: Number of epochs without improvement on the validation part after which training ends, but
            not before `LEAST_EPOCHS`. Both numbers are those of CLAM (Lu et al., 2021). At equal AUC a gain
            of the mean log likelihood below 0.01 is none.
        lr: Learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        max_tiles: Maximum number of tiles of a bag in a training step, a new random sample each time; None
            takes all tiles. Predictions use all tiles.
        device: `auto`, `cpu` or `cuda[:N]`.
        threads: Number of CPU threads; None uses one for small bags, else
            the default of PyTorch.
        loss: Loss of a regression, `mse` (squared error) or `l1` (absolute error).
        batch: Number of bags in a training step of survival, whose loss compares bags. The other tasks take
            one bag at a time.
    """

    method: str = "dsmil"
    epochs: int = 200
    patience: int = 20
    lr: float = 2e-4
    weight_decay: float = 1e-2
    max_tiles: int | None = None
    device: str = "auto"
    threads: int | None = None
    loss: str = "mse"
    batch: int = 8

    def __post_init__(self) -> None:
        if self.method not in NETS and self.method not in LINEAR:
            raise unknown_name("method", self.method, [*NETS, *LINEAR])
        if not (self.device in ("auto", "cpu") or self.device.split(":")[0] == "cuda"):
            raise UsageError("choose auto, cpu or cuda[:N]", where=argument("device", self.device))
        if self.loss not in LOSSES:
            raise UsageError("choose mse or l1", where=argument("loss", self.loss))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values; only `method` for a logistic regression."""
        return asdict(self) if self.method in NETS else {"method": self.method}


@dataclass(frozen=True)
class Predictions:
    """Predictions of the test bags of a fold.

    Attributes:
        fold: The fold.
        outputs: Probability of each class, float64 [test bags, classes], or the predicted risk or value,
            [test bags, 1].
        epoch: Epoch of the weights; None for a linear model.
        validation: Score of the validation part in that epoch (macro AUC, concordance index or R2); None for
            a linear model.
        attention: Attention of the tiles of each test bag, float32 [N, 1] or [N, classes]; None for a
            linear model.
    """

    fold: Fold
    outputs: npt.NDArray[np.float64]
    epoch: int | None = None
    validation: float | None = None
    attention: list[npt.NDArray[np.float32]] | None = None
