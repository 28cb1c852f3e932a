"""CluBYOL: BYOL with an online cluster assigner (Wu et al., ICCV 2023)."""

from __future__ import annotations

from wsi_embed_train.methods.byol import BYOL
from wsi_embed_train.methods.clustered import Clustered


class CluBYOL(Clustered, BYOL):
    """The published network: online encoder, predictor, EMA target and cluster head.

    Loss: `(1 - alpha) * (2 - cos(p1, t2) - cos(p2, t1)) + alpha * cluster_similarity`. As published, the
    first term is a sum over the two views, not a mean.

    Args:
        backbone: Name of the backbone; see `make_backbone`.
        feat_size: Width D of the projection (256).
        predictor_hidden: Hidden width of the predictor (4096).
        clusters: Number of clusters K (100).
        alpha: Weight of the cluster term (0.9).
        ema: Momentum of the target network at the start (0.99).
        ema_end: Momentum at the end, reached by half a cosine; None: constant, as published.
        predictor_lr: Factor on the learning rate of the predictor.
        fix_pred_lr: Whether the learning rate of the predictor stays constant (false).
        cluster_lr: Factor on the learning rate of the cluster head (1).
        gumbel_noise: Scale of the Gumbel noise on the cluster logits (1).
    """

    def __init__(
        self,
        *,
        backbone: str,
        feat_size: int,
        predictor_hidden: int,
        clusters: int,
        alpha: float,
        ema: float,
        ema_end: float | None = None,
        predictor_lr: float = 1.0,
        fix_pred_lr: bool = False,
        cluster_lr: float = 1.0,
        gumbel_noise: float = 1.0,
    ) -> None:
        super().__init__(
            backbone=backbone, feat_size=feat_size, predictor_hidden=predictor_hidden, ema=ema,
            ema_end=ema_end, predictor_lr=predictor_lr, fix_pred_lr=fix_pred_lr,
        )  # fmt: skip
        self.add_cluster_head(
            feat_size, feat_size, clusters, alpha, cluster_lr=cluster_lr, gumbel_noise=gumbel_noise
        )
