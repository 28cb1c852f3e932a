"""What an evaluation on bags is asked for, and what a fold of it gives."""

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

if TYPE_CHECKING:
    from wsi_embed.evaluate.mil.nets import BagNet

# Networks, made with the width of the features and the number of classes.
NETS: Registry[Callable[[int, int], BagNet]] = Registry(
    "--method",
    {
        "dsmil": "wsi_embed.evaluate.mil.nets:Dsmil",
        "abmil": "wsi_embed.evaluate.mil.nets:Abmil",
        "clam": "wsi_embed.evaluate.mil.nets:Clam",
        "transmil": "wsi_embed.evaluate.mil.nets:Transmil",
    },
)
# What describes each bag by one vector, for logistic regression.
LINEAR: Registry[Describe] = Registry(
    "--method",
    {
        "mean": "wsi_embed.evaluate.mil.linear:means",
        "cluster-histogram": "wsi_embed.evaluate.mil.linear:histograms",
    },
)
LEAST_EPOCHS = 50


@dataclass(frozen=True)
class MilSettings:
    """How bags are classified.

    Attributes:
        method: `dsmil`, `abmil`, `clam`, `transmil`, or by logistic regression `mean` (of the features) or
            `cluster-histogram`.
        epochs: Most of them. This and what follows is for networks only.
        patience: Epochs without a better validation part after which training ends, `LEAST_EPOCHS` at the
            earliest; both numbers are CLAM's (Lu et al., 2021).
        lr: Of AdamW.
        weight_decay: Of AdamW.
        max_tiles: Of a bag in a training step, drawn anew each time; None takes all. Tests take all.
        device: `auto`, `cpu` or `cuda[:N]`.
        threads: Of the CPU; None leaves it to PyTorch.
    """

    method: str = "dsmil"
    epochs: int = 200
    patience: int = 20
    lr: float = 2e-4
    weight_decay: float = 1e-2
    max_tiles: int | None = None
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.method not in NETS and self.method not in LINEAR:
            raise unknown_name("--method", self.method, [*NETS, *LINEAR])
        if not (self.device in ("auto", "cpu") or self.device.split(":")[0] == "cuda"):
            raise UsageError(f"--device {self.device}: choose auto, cpu or cuda[:N]")

    def to_dict(self) -> dict[str, Any]:
        """Plain values; for a logistic regression its method alone."""
        return asdict(self) if self.method in NETS else {"method": self.method}


@dataclass(frozen=True)
class Predictions:
    """What a fold's test bags were taken for.

    Attributes:
        fold: Which bags they are.
        probabilities: Of each class, float64 [test bags, classes].
        epoch: Whose weights were taken; None for a logistic regression.
        validation_auc: Macro AUC of the validation part in that epoch; likewise.
        attention: Of each test bag the attention of its tiles, float32 [N, 1] or [N, classes]; none for a
            logistic regression.
    """

    fold: Fold
    probabilities: npt.NDArray[np.float64]
    epoch: int | None = None
    validation_auc: float | None = None
    attention: list[npt.NDArray[np.float32]] | None = None
