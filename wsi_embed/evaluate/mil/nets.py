"""Multiple-instance networks: torchmil's, with a head for each class."""

from __future__ import annotations

import abc
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmil.models import ABMIL, CLAM_SB, DSMIL, TransMIL
from torchmil.nn.attention.nystrom_attention import NystromAttention, moore_penrose_iter_pinv


class BagNet(nn.Module, abc.ABC):
    """From the features of one bag to its class.

    torchmil's networks give one logit, for two classes; here their classifiers have an output a class, and
    bags come one at a time, so that no bag is padded (DSMIL may take padding for its critical tile, and
    CLAM's instance loss ignores the mask).

    Args:
        dim: Numbers a tile.
        classes: How many.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.dim, self.classes = dim, classes
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Set what features are shifted and divided by, [D] each."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def loss(self, bag: Tensor, target: Tensor) -> Tensor:
        """Loss of one bag, [N, D] of any float type, with its class, []."""
        return self._loss(self._prepared(bag), target)

    @torch.inference_mode()
    def predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of each class, [classes], and attention of the tiles.

        Attention is [N, 1], or [N, classes] where each class has its own; a column sums to 1.
        """
        return self._predict(self._prepared(bag))

    def _prepared(self, bag: Tensor) -> Tensor:
        return ((bag.float() - self.mean) / self.std)[None]

    @abc.abstractmethod
    def _loss(self, bag: Tensor, target: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]: ...


class Abmil(BagNet):
    """Gated attention: Ilse et al., "Attention-based Deep Multiple Instance Learning", ICML 2018."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.model = ABMIL((dim,), att_dim=128, gated=True, feat_ext=_reduced(dim, 256))
        self.model.classifier = nn.Linear(256, classes)

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.model(bag), target[None])

    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.model(bag, return_att=True)
        return logits[0].softmax(0), attention[0].softmax(0)[:, None]


class Clam(BagNet):
    """CLAM with one attention branch: Lu et al., Nature Biomedical Engineering 2021.

    The instance loss asks the true class's instance classifier to tell the tiles with most attention from
    those with least, and the others' to reject the former.
    """

    BAG_WEIGHT = 0.7

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.model = CLAM_SB((dim,), att_dim=256, k_sample=8, gated=True, feat_ext=_reduced(dim, 512))
        self.model.classifier = nn.Linear(512, classes)
        self.model.inst_classifiers = nn.ModuleList(nn.Linear(512, 2) for _ in range(classes))
        # torchmil's own keeps its labels on the CPU
        self.model.inst_loss_fn = _InstanceLoss()

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        logits, attention, embedded = self.model(bag, return_att=True, return_emb=True)
        instances = torch.zeros((), device=bag.device)
        for number, classifier in enumerate(self.model.inst_classifiers):
            of = self.model.inst_eval if number == int(target) else self.model.inst_eval_out
            instances = instances + of(attention[0], embedded[0], classifier)[0] / self.classes
        bag_loss = F.cross_entropy(logits, target[None])
        return self.BAG_WEIGHT * bag_loss + (1 - self.BAG_WEIGHT) * instances

    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.model(bag, return_att=True)
        return logits[0].softmax(0), attention[0].softmax(0)[:, None]


class Dsmil(BagNet):
    """Dual-stream MIL: Li et al., CVPR 2021, with a critical tile, an attention and a head for each class.

    Classes are told apart one by one: each has a probability of its own, and they need not sum to 1.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.model = DSMIL((dim,), att_dim=128, nonlinear_q=True)
        self.model.inst_classifier = nn.Linear(dim, classes)
        # from a bag representation for each class, [1, classes, D], to [1, classes, 1]
        self.model.bag_classifier = nn.Conv1d(classes, classes, dim)

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        logits, instances = self.model(bag, return_inst_pred=True)
        wanted = F.one_hot(target, self.classes).float()
        losses = [F.binary_cross_entropy_with_logits(x, wanted) for x in (logits[0], instances[0].amax(0))]
        return (losses[0] + losses[1]) / 2

    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention, instances = self.model(bag, return_att=True, return_inst_pred=True)
        return (logits[0].sigmoid() + instances[0].amax(0).sigmoid()) / 2, attention[0]


class Transmil(BagNet):
    """TransMIL: Shao et al., NeurIPS 2021. Its attention is what the class token pays the tiles.

    Negative attention, which comes of the approximation, is taken as none.
    """

    def __init__(self, dim: int, classes: int, width: int = 512, landmarks: int = 256) -> None:
        super().__init__(dim, classes)
        self.model = TransMIL((dim,), att_dim=width, n_heads=8, n_landmarks=landmarks)
        self.model.classifier = nn.Linear(width, classes)
        last = self.model.layers[-1]
        last.att_module = ClassTokenAttention(width, width, width, n_heads=8, n_landmarks=landmarks)

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.model(bag), target[None])

    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.model(bag, return_att=True)
        positive = attention[0].clamp_min(0) + 1e-12
        return logits[0].softmax(0), (positive / positive.sum())[:, None]


class ClassTokenAttention(NystromAttention):  # type: ignore[misc]  # torchmil has no types
    """Nystrom attention that gives away the first token's attention alone.

    torchmil's makes the whole matrix, N x N for every head: 1.6 GB for 10,000 tiles and four heads.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None, return_att: bool = False) -> Any:
        """From tokens [1, N, D] to [1, N, D], and to attention [1, heads, 1, N] where it is asked for."""
        out = super().forward(x, mask)
        return (out, self.first_row(x)) if return_att else out

    def first_row(self, x: Tensor) -> Tensor:
        """What the first token pays all tokens, [1, heads, 1, N]: equation 15 of Xiong et al., AAAI 2021."""
        count = x.shape[1]
        padding = -count % self.n_landmarks
        q, k, _ = (
            part.view(1, count + padding, self.n_heads, -1).transpose(1, 2)
            for part in self._qkv(F.pad(x, (0, 0, padding, 0)))
        )
        q = q * self.scale_factor
        q_marks, k_marks = (part.unflatten(2, (self.n_landmarks, -1)).mean(3) for part in (q, k))
        to_marks = (q[:, :, padding : padding + 1] @ k_marks.mT).softmax(-1)
        among = moore_penrose_iter_pinv((q_marks @ k_marks.mT).softmax(-1), self.pinv_iterations)
        from_marks = (q_marks @ k.mT).softmax(-1)
        row: Tensor = (to_marks @ among @ from_marks)[..., padding:]
        return row


def _reduced(dim: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Dropout(0.25))


class _InstanceLoss(nn.Module):
    """Cross entropy, as torchmil hands over logits [B, 2] and targets [B, 1]."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets[:, 0].long())
