"""Multiple-instance networks of torchmil, with a head for each class, or one for a number."""

from __future__ import annotations

import abc
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmil.models import ABMIL, CLAM_SB, DSMIL, TransMIL
from torchmil.nn.attention.nystrom_attention import NystromAttention, moore_penrose_iter_pinv


class BagNet(nn.Module, abc.ABC):
    """Network that predicts the class of one bag by its features, or a number.

    The networks of torchmil have one logit, for two classes. Their classifiers are replaced by ones with an
    output for each class, or a single one for a risk or a value. Bags are processed one at a time, to avoid
    padding: DSMIL could choose padding as its critical tile, and the instance loss of CLAM ignores the mask.

    Args:
        dim: Number of features D of a tile.
        classes: Number of classes; 1 for a number.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.dim, self.classes = dim, classes
        self.target_mean, self.target_std = 0.0, 1.0
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and standard deviation by which features are standardised, [D] each."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    def loss(self, bag: Tensor, target: Tensor) -> Tensor:
        """Return the loss of one bag, [N, D] of any float dtype, given its class, a scalar."""
        return self._loss(self._prepared(bag), target)

    def raw(self, bag: Tensor) -> Tensor:
        """Return the outputs of one bag, [N, D] of any float dtype, before any activation, [classes]."""
        return self._outputs(self._prepared(bag))[0]

    @torch.inference_mode()
    def predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Predict a bag.

        Args:
            bag: Features [N, D].

        Returns:
            Probability of each class, [classes], or the predicted number, [1], and attention of the tiles,
            [N, 1] or, with separate attention for each class, [N, classes]. Each column sums to 1.
        """
        if self.classes > 1:
            return self._predict(self._prepared(bag))
        outputs, attention = self._outputs(self._prepared(bag))
        return outputs * self.target_std + self.target_mean, attention

    def _prepared(self, bag: Tensor) -> Tensor:
        return ((bag.float() - self.mean) / self.std)[None]

    @abc.abstractmethod
    def _loss(self, bag: Tensor, target: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _outputs(self, bag: Tensor) -> tuple[Tensor, Tensor]: ...

    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        outputs, attention = self._outputs(bag)
        return outputs.softmax(0), attention


class Abmil(BagNet):
    """Gated attention: Ilse et al., "Attention-based Deep Multiple Instance Learning", ICML 2018."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.model = ABMIL((dim,), att_dim=128, gated=True, feat_ext=_reduced(dim, 256))
        self.model.classifier = nn.Linear(256, classes)

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.model(bag), target[None])

    def _outputs(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.model(bag, return_att=True)
        return logits.flatten(), attention[0].softmax(0)[:, None]


class Clam(BagNet):
    """CLAM with one attention branch: Lu et al., Nature Biomedical Engineering 2021.

    In the instance loss, the classifier of the true class separates the tiles with most attention from those
    with least; the classifiers of the other classes reject the tiles with most attention.
    """

    BAG_WEIGHT = 0.7

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.model = CLAM_SB((dim,), att_dim=256, k_sample=8, gated=True, feat_ext=_reduced(dim, 512))
        self.model.classifier = nn.Linear(512, classes)
        self.model.inst_classifiers = nn.ModuleList(nn.Linear(512, 2) for _ in range(classes))
        # the loss of torchmil keeps its labels on the CPU
        self.model.inst_loss_fn = _InstanceLoss()

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        logits, attention, embedded = self.model(bag, return_att=True, return_emb=True)
        instances = torch.zeros((), device=bag.device)
        for number, classifier in enumerate(self.model.inst_classifiers):
            of = self.model.inst_eval if number == int(target) else self.model.inst_eval_out
            instances = instances + of(attention[0], embedded[0], classifier)[0] / self.classes
        bag_loss = F.cross_entropy(logits, target[None])
        return self.BAG_WEIGHT * bag_loss + (1 - self.BAG_WEIGHT) * instances

    def _outputs(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.model(bag, return_att=True)
        return logits.flatten(), attention[0].softmax(0)[:, None]


class Dsmil(BagNet):
    """Dual-stream MIL: Li et al., CVPR 2021, with a critical tile, an attention and a head for each class.

    Each class is predicted independently, so the probabilities need not sum to 1. A number is the mean of
    the outputs of the critical tile and of the bag.
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

    def _outputs(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention, instances = self.model(bag, return_att=True, return_inst_pred=True)
        best = instances.view(-1, self.classes).amax(0)
        return (logits.flatten() + best) / 2, attention.view(-1, self.classes)

    def _predict(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention, instances = self.model(bag, return_att=True, return_inst_pred=True)
        return (logits[0].sigmoid() + instances[0].amax(0).sigmoid()) / 2, attention[0]


class Transmil(BagNet):
    """TransMIL: Shao et al., NeurIPS 2021. Its attention is that of the class token to the tiles.

    Negative attention, a result of the approximation, is set to zero.
    """

    def __init__(self, dim: int, classes: int, width: int = 512, landmarks: int = 256) -> None:
        super().__init__(dim, classes)
        self.model = TransMIL((dim,), att_dim=width, n_heads=8, n_landmarks=landmarks)
        self.model.classifier = nn.Linear(width, classes)
        last = self.model.layers[-1]
        last.att_module = ClassTokenAttention(width, width, width, n_heads=8, n_landmarks=landmarks)

    def _loss(self, bag: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.model(bag), target[None])

    def _outputs(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        logits, attention = self.model(bag, return_att=True)
        positive = attention[0].clamp_min(0) + 1e-12
        return logits.flatten(), (positive / positive.sum())[:, None]


class ClassTokenAttention(NystromAttention):  # type: ignore[misc]  # torchmil has no types
    """Nystrom attention that only returns the attention of the first token.

    The class in torchmil returns the whole matrix, N x N for every head: 1.6 GB for 10,000 tiles and four
    heads.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None, return_att: bool = False) -> Any:
        """Transform tokens [1, N, D]; with `return_att` return also the attention [1, heads, 1, N]."""
        out = super().forward(x, mask)
        return (out, self.first_row(x)) if return_att else out

    def first_row(self, x: Tensor) -> Tensor:
        """Return the attention of the first token, [1, heads, 1, N]: Xiong et al., AAAI 2021, equation 15."""
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
    """Cross entropy for logits [B, 2] and targets [B, 1], as passed by torchmil."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets[:, 0].long())
