"""The graph that is exported: raw tiles in, features out, and clusters where there is a cluster head."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from wsi_embed_train.methods import Method

OUTPUTS = ("features", "cluster", "cluster_confidence")


class TileModel(nn.Module):
    """Normalisation, backbone and cluster head, if there is one, as one module in evaluation mode.

    Batch norms are folded into the convolutions where PyTorch can trace the backbone. With `fp16` the
    backbone has half-precision weights and activations; normalisation, features and the cluster head
    stay float32.

    Args:
        network: A trained network of any method.
        mean: RGB mean of the training data, in [0, 1].
        std: RGB standard deviation, in [0, 1].
        tile_px: Side of a tile.
        precision: `fp32` or `fp16`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: Method,
        mean: Sequence[float],
        std: Sequence[float],
        tile_px: int,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.tile_px, self.precision = tile_px, precision
        network = network.eval()
        self.dtype = torch.float16 if precision == "fp16" else torch.float32
        self.backbone = _folded(network.encoder.backbone).to(self.dtype)
        self.head: nn.Sequential | None = None
        if network.cluster_head is not None:
            layers = [network.encoder.projector, *network.cluster_head.children()]
            self.head = nn.Sequential(*layers).float()
        self.outputs = OUTPUTS if self.head is not None else OUTPUTS[:1]
        # (x / 255 - mean) / std as one multiplication and one addition
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self.register_buffer("scale", scale.float().reshape(1, 3, 1, 1))
        self.register_buffer("shift", shift.float().reshape(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, tiles: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Encode tiles.

        Args:
            tiles: RGB, uint8 [B, tile_px, tile_px, 3].

        Returns:
            features float32 [B, D]; with a cluster head also cluster int64 [B] and cluster_confidence
            float32 [B].
        """
        images = tiles.permute(0, 3, 1, 2).float() * self.scale + self.shift
        features: Tensor = self.backbone(images.to(self.dtype)).float()
        if self.head is None:
            return features
        probabilities = self.head(features).softmax(dim=1)
        confidence, cluster = probabilities.max(dim=1)
        return features, cluster, confidence

    def digest(self) -> str:
        """Digest of weights, preprocessing, outputs and precision: the `model_id`."""
        sha = hashlib.sha256()
        about = {"tile_px": self.tile_px, "precision": self.precision, "outputs": self.outputs}
        sha.update(json.dumps(about, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            sha.update(tensor.contiguous().numpy().tobytes())
        return f"sha256:{sha.hexdigest()[:32]}"


def _folded(backbone: nn.Module) -> nn.Module:
    """The backbone with its batch norms in its convolutions; as it is where its code cannot be traced."""
    try:
        folded: nn.Module = fuse(backbone)
    except (TraceError, TypeError, NotImplementedError):
        return backbone
    return folded
