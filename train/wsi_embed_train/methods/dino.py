"""DINO: small crops of a tile predict what a slowly moving copy says of large ones."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_embed_train.backbones import several_sizes
from wsi_embed_train.distributed import gather
from wsi_embed_train.methods.base import Encoder, Method, Step, float32, follow
from wsi_embed_train.schedule import cosine

# Of the authors' code: momentum of the centre, and largest norm of the gradient of a parameter.
CENTRE_MOMENTUM, LARGEST_GRADIENT = 0.9, 3.0


class DINO(Method):
    """Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021.

    Two global views are seen by the student and by the teacher, a target network; local crops by the student
    alone. Each view of the student predicts the teacher's outputs of the other global views.

    Args:
        backbone: Name of the backbone; see `make_backbone`. Vision transformers must be of timm, unless there
            are no local crops.
        feat_size: Width D of the bottleneck of the head (256).
        projector_hidden: Hidden width of the head (2048).
        prototypes: Number of outputs K of the head (65536).
        temperature: Temperature of the student (0.1).
        teacher_temp: Temperature of the teacher at the start and after its warm-up (0.04, 0.07).
        teacher_temp_warmup: Share of the run in which that temperature rises (0.3).
        ema: Momentum of the teacher at the start (0.996).
        ema_end: Momentum at the end, reached by half a cosine (1).
        freeze_prototypes: Share of the run, from its start, in which the last layer is frozen (one epoch).
        local_crops: Number of local crops of each tile (8).
        local_px: Side of a local crop, pixels (96).
        local_scale: Minimum and maximum area of a local crop, as a share of the tile (0.05, 0.4).
    """

    def __init__(
        self,
        *,
        backbone: str,
        feat_size: int,
        projector_hidden: int,
        prototypes: int,
        temperature: float,
        teacher_temp: tuple[float, float],
        teacher_temp_warmup: float,
        ema: float,
        ema_end: float,
        local_crops: int,
        local_px: int,
        local_scale: tuple[float, float],
        freeze_prototypes: float = 0.0,
    ) -> None:
        super().__init__()
        self.temperature, self.teacher_temp = temperature, teacher_temp
        self.teacher_temp_warmup, self.freeze_prototypes = teacher_temp_warmup, freeze_prototypes
        self.ema, self.ema_end = ema, ema_end
        settings = several_sizes(backbone, local_px) if local_crops else {}
        self.encoder = Encoder(backbone, lambda width: head(width, projector_hidden, feat_size), **settings)
        self.prototypes = nn.Linear(feat_size, prototypes, bias=False)
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        self.target_prototypes = copy.deepcopy(self.prototypes).requires_grad_(False)
        self.centre: Tensor
        self.progress: Tensor
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("progress", torch.zeros(()))

    def forward(self, views: Sequence[Tensor], labels: Tensor | None = None) -> Step:
        """Return the loss of two global views and the local crops; see `Method.forward`."""
        # views of one size together, as in the authors' code; the global ones last, for the monitors
        projections = [self.encoder(torch.cat(list(views[2:])))] if len(views) > 2 else []
        projections.insert(0, self.encoder(torch.cat(list(views[:2]))))
        projection = torch.cat(projections)
        with torch.no_grad():
            wanted = scores(self.target(torch.cat(list(views[:2]))), self.target_prototypes)
            teacher = ((wanted - self.centre) / self._teacher_temperature()).softmax(dim=1)
            self._move_centre(wanted)
        student = (scores(projection, self.prototypes) / self.temperature).log_softmax(dim=1)
        by_view = (-1, len(views[0]), len(self.centre))
        loss = cross_entropy(teacher.view(by_view), student.view(by_view))
        return Step(loss, {"cross_entropy": loss.detach()}, projection.detach())

    def _teacher_temperature(self) -> float:
        start, end = self.teacher_temp
        if float(self.progress) >= self.teacher_temp_warmup:
            return end
        return start + (end - start) * float(self.progress) / self.teacher_temp_warmup

    def _move_centre(self, wanted: Tensor) -> None:
        mean = gather(wanted.mean(dim=0, keepdim=True)).mean(dim=0)
        self.centre.lerp_(mean, 1 - CENTRE_MOMENTUM)

    def before_step(self, progress: float) -> None:
        """Clip the gradients, and freeze the last layer at the start of the run."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                nn.utils.clip_grad_norm_(parameter, LARGEST_GRADIENT)
        if progress < self.freeze_prototypes:
            self.prototypes.weight.grad = None

    def after_step(self, progress: float) -> None:
        """Move the teacher towards the student."""
        momentum = cosine(progress, self.ema, self.ema_end)
        follow(self.target, self.encoder, momentum)
        follow(self.target_prototypes, self.prototypes, momentum)
        self.progress.fill_(progress)


def head(width: int, hidden: int, feat_size: int) -> nn.Sequential:
    """Create the head up to its bottleneck: three layers without batch norm."""
    layers = nn.Sequential(
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Linear(hidden, hidden),
        nn.GELU(),
        nn.Linear(hidden, feat_size),
    )
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    return layers


def scores(projection: Tensor, prototypes: nn.Linear) -> Tensor:
    """Return the cosines of projections [N, D] and prototypes, float32 [N, K].

    This is the last layer of the head with weight norm, whose lengths are fixed to 1.
    """
    with float32(projection):
        return F.normalize(projection.float(), dim=1) @ F.normalize(prototypes.weight.float(), dim=1).T


def cross_entropy(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean cross entropy over all pairs of different views.

    Caron et al., 2021, equation 3.

    Args:
        teacher: Probabilities of the T global views, float32 [T, B, K].
        student: Logarithms of the probabilities of the S views, of which the first T are the global ones,
            float32 [S, B, K].
    """
    pairs = -torch.einsum("tbk,sbk->ts", teacher, student) / teacher.shape[1]
    others = torch.ones_like(pairs).fill_diagonal_(0)
    return (pairs * others).sum() / others.sum()
