"""Networks of published encoders that are in neither timm nor torchvision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from wsi_embed_export.networks.conch import make_conch
from wsi_embed_export.networks.ctranspath import make_ctranspath
from wsi_embed_export.networks.truncated_resnet import TruncatedResNet, make_resnet50

__all__ = ["NETWORKS", "OwnNetwork"]


def _unchanged(network: nn.Module) -> nn.Module:
    return network


@dataclass(frozen=True)
class OwnNetwork:
    """Construction of a network.

    Attributes:
        make: Function that returns the untrained network with the names of the published weights, for inputs
            of a side in pixels.
        finish: Function that turns the network with its weights into one that returns features.
    """

    make: Callable[[int], nn.Module]
    finish: Callable[[nn.Module], nn.Module] = _unchanged


NETWORKS = {
    "conch-v1.5": OwnNetwork(make_conch),
    "ctranspath": OwnNetwork(make_ctranspath),
    "resnet50-clam": OwnNetwork(make_resnet50, TruncatedResNet),
}
