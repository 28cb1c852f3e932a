"""The graph that is exported: raw tiles in, features and clusters out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from wsi_embed_train.methods import CluBYOL

OUTPUTS = ("features", "cluster", "cluster_confidence")


class TileModel(nn.Module):
    """Normalisation, backbone and cluster head as one module, in evaluation mode.

    Batch norms are folded into the convolutions. With `fp16` the backbone has half-precision
    weights and activations; normalisation, features and the cluster head stay float32.

    Args:
        network: A trained network.
        mean: RGB mean of the training data, in [0, 1].
        std: RGB standard deviation, in [0, 1].
        tile_px: Side of a tile.
        precision: `fp32` or `fp16`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: CluBYOL,
        mean: Sequence[float],
        std: Sequence[float],
        tile_px: int,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.tile_px, self.precision = tile_px, precision
        network = network.eval()
        self.dtype = torch.float16 if precision == "fp16" else torch.float32
        self.backbone = fuse(network.encoder.backbone).to(self.dtype)
        self.head = nn.Sequential(
            network.encoder.projector, network.cluster_projector, network.cluster_assigner
        ).float()
        # (x / 255 - mean) / std as one multiplication and one addition
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self.register_buffer("scale", scale.float().reshape(1, 3, 1, 1))
        self.register_buffer("shift", shift.float().reshape(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode tiles.

        Args:
            tiles: RGB, uint8 [B, tile_px, tile_px, 3].

        Returns:
            features float32 [B, D], cluster int64 [B], cluster_confidence float32 [B].
        """
        images = tiles.permute(0, 3, 1, 2).float() * self.scale + self.shift
        features = self.backbone(images.to(self.dtype)).float()
        probabilities = self.head(features).softmax(dim=1)
        confidence, cluster = probabilities.max(dim=1)
        return features, cluster, confidence

    def digest(self) -> str:
        """Digest of weights, preprocessing, outputs and precision: the `model_id`."""
        sha = hashlib.sha256()
        about = {"tile_px": self.tile_px, "precision": self.precision, "outputs": OUTPUTS}
        sha.update(json.dumps(about, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            sha.update(tensor.contiguous().numpy().tobytes())
        return f"sha256:{sha.hexdigest()[:32]}"
