"""Allowed values of settings: names to choose from, and ranges of numbers."""

from __future__ import annotations

import math
from typing import Any

from wsi_embed.slide import READERS
from wsi_embed.tissue.recipe import RECIPES
from wsi_embed.util.registry import Registry
from wsi_embed_train.methods import METHODS

CHOICES: dict[str, tuple[str, ...] | Registry[Any]] = {
    "method": METHODS,
    "tissue": tuple(name for name in RECIPES.names() if name != "model"),
    "precision": ("32", "bf16", "16"),
    "optimizer": ("sgd", "adamw"),
    "reader": READERS,
    "teacher_sees": ("view", "tile"),
}
_ANY, _PART = (0.0, math.inf), (0.0, 1.0)
RANGES: dict[str, tuple[float, float]] = {
    "tile_px": (32, 4096), "mpp": (0.05, 20), "min_tissue": _PART, "region_tiles": (1, 64),
    "crop_scale": (0.01, 1), "jitter": (0, 1), "jitter_p": _PART, "grey_p": _PART, "blur_sigma": (0, 100),
    "blur_p": _PART, "flip_p": _PART, "vflip_p": _PART, "mean": _PART, "std": (0.001, 1),
    "init_share": _PART, "layer_decay": (0.01, 1), "stain": (0, 1), "stain_p": _PART,
    "epochs": (1, math.inf), "batch_size": (2, math.inf), "lr": _ANY, "momentum": _PART,
    "weight_decay": _ANY, "warmup_epochs": _ANY, "accumulate": (1, 1e6), "workers": _ANY,
    "seed": (0, 2**32 - 1), "log_steps": (1, 1e9), "save_steps": (1, 1e9), "keep_epochs": (1, 1e9),
    "knn_epochs": (1, 1e9), "feat_size": (2, 65536), "projector_hidden": (1, 65536),
    "predictor_hidden": (1, 65536), "predictor_lr": _ANY, "clusters": (2, 65536), "alpha": _PART,
    "cluster_lr": _ANY, "gumbel_noise": (0, 10),
    "ema": _PART, "ema_end": _PART, "temperature": (0.001, 100), "redundancy": _ANY,
    "prototypes": (2, 1e6), "sinkhorn_epsilon": (0.01, 10), "sinkhorn_iterations": (1, 100),
    "freeze_prototypes": _PART, "queue": (0, 1e7), "queue_from": _PART, "concepts": (2, 1e6),
    "concepts_from": _PART, "relational": _ANY, "cluster_weight": _ANY,
    "teacher_temp": (0.001, 100), "teacher_temp_warmup": _PART, "local_crops": (0, 64),
    "local_px": (16, 4096), "local_scale": (0.01, 1),
}  # fmt: skip
