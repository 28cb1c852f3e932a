"""Checkpoints of the CluSiam repository (github.com/wwyi1828/CluSiam), as written by its `main.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wsi_embed.errors import UsageError
from wsi_embed_export.trained import Given, TrainedModel
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.methods.siamese import projector
from wsi_embed_train.weights.files import load_strictly, named_digest, state_dict_of, without_prefix

# Tried in this order. The repository itself only has ResNet-18, but its users change that line.
_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def is_clusiam(content: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint has the layout of the CluSiam repository."""
    keys = _state(content).keys()
    return {"encoder.conv1.weight", "encoder.fc.6.weight"} <= keys


def read_clusiam(path: Path, content: Mapping[str, Any], given: Given) -> TrainedModel:
    """Read a checkpoint of the CluSiam repository: CluBYOL if it has a target encoder, else CluSiam.

    The width of the projection and the number of clusters follow from the weights.

    Args:
        path: The file, for messages.
        content: Contents of the file.
        given: Normalisation, tile size and resolution, which the file does not contain.

    Raises:
        UsageError: If `given` is incomplete, or the weights belong to another network.
    """
    lacking = {"mean": given.mean, "std": given.std, "tile_px": given.tile_px}
    if given.mean is None or given.std is None or given.tile_px is None:
        missing = [f"`{name}=`" for name, value in lacking.items() if value is None]
        raise UsageError(
            f"does not hold {' and '.join(missing)} of its training",
            where=path.name,
            remedy="pass mean and std of its training and the size of its tiles (the repository's "
            "main.py has `mean=(0.6684, 0.5115, 0.6791)` `std=(0.2521, 0.2875, 0.21)` `tile_px=224`)",
        )
    state = _state(content)
    encoder = without_prefix(state, "encoder.")
    head, clusters = _cluster_head(state, path.name)
    architecture, backbone, width = _backbone(encoder, path.name)
    project = projector(width, encoder["fc.6.weight"].shape[0])
    load_strictly(project, without_prefix(encoder, "fc."), path.name)
    byol = any(key.startswith("target_encoder.") for key in state)
    plain = "byol" if byol else "simsiam"
    epoch = content.get("epoch")
    return TrainedModel(
        backbone=backbone,
        feature_dim=width,
        projector=project,
        cluster_head=head,
        clusters=clusters,
        method=plain if head is None else {"byol": "clubyol", "simsiam": "clusiam"}[plain],
        architecture=architecture,
        tile_px=given.tile_px,
        mpp=given.mpp,
        mean=given.mean,
        std=given.std,
        training={"epochs": epoch} if isinstance(epoch, int) else {},
        name=named_digest(path),
    )


def _state(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict without the key prefix of DataParallel."""
    state = state_dict_of(content)
    return {key.removeprefix("module."): value for key, value in state.items()}


def _backbone(encoder: Mapping[str, Tensor], where: str) -> tuple[str, nn.Module, int]:
    weights = {key: value for key, value in encoder.items() if not key.startswith("fc.")}
    for name in _RESNETS:
        backbone, width = make_backbone(name)
        shapes = {k: v.shape for k, v in backbone.state_dict().items()}
        if shapes == {k: v.shape for k, v in weights.items()}:
            load_strictly(backbone, weights, where)
            return name, backbone, width
    raise UsageError(f"its encoder must be {', '.join(_RESNETS)} of torchvision", where=where)


def _cluster_head(state: Mapping[str, Tensor], where: str) -> tuple[nn.Sequential | None, int | None]:
    last = state.get("cluster_assigner.0.weight")
    first = state.get("cluster_projector.0.weight")
    if last is None and first is None:
        return None, None
    if last is None or first is None:
        raise UsageError("has a part of a cluster head only", where=where, remedy="is the file whole?")
    (hidden, width), clusters = first.shape, last.shape[0]
    layers = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True))
    load_strictly(layers, without_prefix(state, "cluster_projector."), where)
    assigner = nn.Linear(last.shape[1], clusters)
    load_strictly(assigner, without_prefix(state, "cluster_assigner.0."), where)
    return nn.Sequential(layers, assigner), clusters
