"""ResNet-50 without its last stage, the encoder of CLAM."""

from __future__ import annotations

from torch import Tensor, nn

from wsi_embed_train.backbones import make_backbone

_LAYERS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")


class TruncatedResNet(nn.Module):
    """Stages of a ResNet up to the third, and the mean over positions.

    Args:
        resnet: ResNet of torchvision.
    """

    def __init__(self, resnet: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(getattr(resnet, name) for name in _LAYERS))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of normalised images, [B, 1024]."""
        activations: Tensor = self.layers(images)
        return activations.mean(dim=(2, 3))


def make_resnet50(_: int) -> nn.Module:
    """Create an untrained ResNet-50, which takes images of any size."""
    return make_backbone("resnet50")[0]
