"""Backbones by name: any classification network of torchvision, and any model of timm."""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import itertools
from typing import Any

import torch
from torch import nn
from torchvision import models

from wsi_embed.errors import MissingExtraError, UsageError
from wsi_embed.util.extras import install_command

# Attribute names of the layers after the pooled features, in the families of torchvision.
_HEADS = ("fc", "classifier", "heads", "head")
_RESNETS = ("resnet", "resnext", "wide_resnet")
_TIMM = "timm/"
_ONE_SIZE = "choose a `local_px=` that its patches divide, a vision transformer of timm, or `local_crops=0`"


def make_backbone(name: str, **settings: Any) -> tuple[nn.Module, int]:
    """Create an untrained network that outputs pooled features.

    The residual branches of ResNets start at zero (`zero_init_residual`), as published for CluBYOL and
    CluSiam. Nothing is downloaded.

    Args:
        name: Name of a torchvision classification model, or else of a timm model. `timm/NAME` always means
            the model of timm, and `NAME@PX` a vision transformer of timm for images of PX pixels.
        **settings: Arguments of timm's `create_model`.

    Returns:
        The network, from images float [B, 3, H, W] to features [B, D], and D.

    Raises:
        UsageError: If there is no such model. The message suggests similar names.
        MissingExtraError: If torchvision has no such model and timm is not installed.
    """
    if name in torchvision_names():
        return _torchvision(name)
    timm = _import_timm()
    own, _, px = name.removeprefix(_TIMM).partition("@")
    if px.isdecimal():
        settings = {"img_size": int(px), **settings}
    if timm is not None and own in timm.list_models() and (px.isdecimal() or "@" not in name):
        return _timm(timm, own, settings)
    raise _unknown(name, timm)


@functools.cache
def sized(name: str, px: int) -> str:
    """Return the name of a network for images of a size: `NAME@PX` if the network itself takes only another.

    Vision transformers of timm can be made for other images than those of their published weights, if their
    patches cover them. Any other name is returned as it is.

    Args:
        name: Name of the network.
        px: Side of the images, pixels.

    Example:
        >>> from wsi_embed_train.backbones import sized
        >>> sized("timm/vit_small_patch14_dinov2", 224), sized("resnet18", 224)
        ('timm/vit_small_patch14_dinov2@224', 'resnet18')
    """
    if "@" in name or name in torchvision_names():
        return name
    with contextlib.suppress(UsageError), torch.random.fork_rng(devices=[]), torch.device("meta"):
        try:
            check_tile_px(make_backbone(name)[0], name, px)
        except UsageError:
            other, _ = make_backbone(f"{name}@{px}")
            check_tile_px(other, name, px)
            patch = getattr(getattr(other, "patch_embed", None), "patch_size", (1, 1))
            if not any(px % side for side in patch):  # else the patches would not cover the image
                return f"{name}@{px}"
    return name


def several_sizes(name: str, px: int) -> dict[str, Any]:
    """Return the arguments of `make_backbone` for a network that takes images of another size, too.

    Vision transformers of timm then interpolate their position embeddings; others need no argument.

    Args:
        name: Name of the network.
        px: The other size, pixels.

    Raises:
        UsageError: If the network only takes images of one size.
    """
    with torch.random.fork_rng(devices=[]):
        backbone, _ = make_backbone(name)
        try:
            check_tile_px(backbone, name, px)
            return {}
        except UsageError as error:
            settings = {"dynamic_img_size": True}
            with contextlib.suppress(UsageError):
                check_tile_px(make_backbone(name, **settings)[0], name, px)
                return settings
            raise error.replace(remedy=_ONE_SIZE) from error


def check_tile_px(backbone: nn.Module, name: str, tile_px: int) -> None:
    """Check that a network accepts tiles of a size; vision transformers only accept their own.

    Args:
        backbone: The network.
        name: Name of the network, for the message.
        tile_px: Side of the tiles, pixels.

    Raises:
        UsageError: If it does not accept them.
    """
    if isinstance(backbone, models.ResNet):
        return  # accepts any size
    shapes_only = copy.deepcopy(backbone).to("meta").eval()
    try:
        shapes_only(torch.empty(2, 3, tile_px, tile_px, device="meta"))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"backbone {name} does not take tiles of {tile_px} pixels ({reason})",
            remedy="most take `tile_px=224`",
        ) from error


def torchvision_names() -> list[str]:
    """Return the names of torchvision's classification models."""
    return list(models.list_models(module=models))  # without detection, segmentation and video


def _torchvision(name: str) -> tuple[nn.Module, int]:
    options: dict[str, Any] = {}
    if name.startswith(_RESNETS):
        options = {"zero_init_residual": True}
    elif name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    net: nn.Module = models.get_model(name, weights=None, **options)
    # VGG and AlexNet pool to a grid of positions, but features describe the whole tile
    grid = getattr(net, "avgpool", None)
    if isinstance(grid, nn.AdaptiveAvgPool2d) and grid.output_size in ((6, 6), (7, 7)):
        net.avgpool = nn.AdaptiveAvgPool2d(1)
        places = grid.output_size[0] ** 2
    else:
        places = 1
    head = next(part for part in _HEADS if hasattr(net, part))
    rest, width = _without_classifier(getattr(net, head))
    setattr(net, head, rest)
    return net, width // places


def _without_classifier(head: nn.Module) -> tuple[nn.Module, int]:
    """Return the layers of a head before its classifier, and the number of features they output."""
    layers = list(head.children()) or [head]
    first = next(m for m in layers if isinstance(m, nn.Linear | nn.Conv2d))
    if isinstance(first, nn.Conv2d):  # SqueezeNet classifies before it pools
        return nn.AdaptiveAvgPool2d(1), first.in_channels
    kept = itertools.takewhile(lambda m: not isinstance(m, nn.Linear | nn.Dropout), layers)
    return nn.Sequential(*kept), first.in_features


def _import_timm() -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        return None
    return timm


def _timm(timm: Any, name: str, settings: dict[str, Any]) -> tuple[nn.Module, int]:
    try:
        net: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **settings)
    except TypeError as error:
        if not settings:
            raise
        raise UsageError(f"timm's {name} does not take {', '.join(settings)} ({error})") from error
    width = getattr(net, "head_hidden_size", None) or net.num_features
    return net, int(width)  # type: ignore[arg-type]


def _unknown(name: str, timm: Any) -> UsageError:
    known = set(torchvision_names()).union(timm.list_models() if timm else [])
    near = difflib.get_close_matches(name.removeprefix(_TIMM), sorted(known), n=3)
    hint = f"; near: {', '.join(near)}" if near else ""
    if timm is None:
        return MissingExtraError(
            f"torchvision has no backbone {name!r}{hint}",
            remedy=f"for timm's: {install_command('timm')}",
        )
    return UsageError(f"neither torchvision nor timm has a backbone {name!r}{hint}")
