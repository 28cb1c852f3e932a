"""Published encoders as their model cards load and run them, written without the presets.

Each card has its network in the published layout, at full size or smaller, its pooling and its transform.
"""

# The children of `nn.Module` are not typed.
# mypy: disable-error-code="no-any-return, operator, union-attr, index, arg-type"

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from tests.export.published import Dinov2, TransformersViT

timm: Any = pytest.importorskip("timm")

BILINEAR, BICUBIC = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
HIBOU = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))
LUNIT = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))
# Sizes of small networks, by the names of timm's arguments.
SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}


def first(tokens: Tensor) -> Tensor:
    return tokens[:, 0]


def first_and_mean(after: int) -> Callable[[Tensor], Tensor]:
    return lambda tokens: torch.cat([tokens[:, 0], tokens[:, after:].mean(1)], dim=-1)


def as_it_is(features: Tensor) -> Tensor:
    return features


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        make: Function that returns the network; arguments of a smaller one replace those of the card.
        transform: Transform of a PIL image.
        pool: What the card does with the output of the network.
        other: Further poolings by name.
        tile_px: Side of the tiles that the card describes.
        smaller: Arguments of the preset for the smaller network.
    """

    make: Callable[[Mapping[str, Any]], nn.Module]
    transform: Compose
    pool: Callable[[Tensor], Tensor] = as_it_is
    other: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    tile_px: int = 224
    smaller: Mapping[str, Any] = field(default_factory=lambda: SMALL)


def compose(norm: tuple[Any, Any], resize: int = 224, crop: int = 224, how: Any = BILINEAR) -> Compose:
    return Compose([Resize(resize, interpolation=how), CenterCrop(crop), ToTensor(), Normalize(*norm)])


def by_timm(name: str, **card: Any) -> Callable[[Mapping[str, Any]], nn.Module]:
    return lambda small: timm.create_model(name, num_classes=0, **{**card, **small})


def by_transformers(
    px: int, patch: int, width: int, depth: int, heads: int, **more: Any
) -> Callable[[Mapping[str, Any]], nn.Module]:
    def make(small: Mapping[str, Any]) -> nn.Module:
        sizes = (small.get("embed_dim", width), small.get("depth", depth), small.get("num_heads", heads))
        return TransformersViT(px, patch, *sizes, **more)

    return make


def kaiko_l14(small: Mapping[str, Any]) -> nn.Module:
    """DINOv2's file for 518 px in timm's network for 224 px, whose positions timm resamples at run time."""
    sizes = [small.get(name, full) for name, full in (("embed_dim", 1024), ("depth", 24), ("num_heads", 16))]
    return Dinov2(518, 14, *sizes, registers=4)


class ConvStem(nn.Module):
    """The stem of CTransPath's repository, for the Swin of timm."""

    def __init__(self, img_size: int, embed_dim: int, norm_layer: Any, **_: Any) -> None:
        super().__init__()
        self.grid_size = (img_size // 4, img_size // 4)
        stem: list[nn.Module] = []
        before, after = 3, embed_dim // 8
        for _layer in range(2):
            stem.append(nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1, bias=False))
            stem += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before, after = after, after * 2
        self.proj = nn.Sequential(*stem, nn.Conv2d(before, embed_dim, kernel_size=1))
        self.norm = norm_layer(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).flatten(2).transpose(1, 2)).unflatten(1, self.grid_size)


def ctranspath(_: Mapping[str, Any]) -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224", embed_layer=ConvStem, num_classes=0, img_size=224
    )


class Pooler(nn.Module):
    """The attentional pooler of CONCH, with the products written out."""

    def __init__(self, width: int, tokens: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(1, width))
        self.ln_k, self.ln_q = nn.LayerNorm(tokens), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(tokens, width * 2, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q = self.to_q(self.ln_q(self.query)).expand(len(x), 1, -1)
        k, v = self.to_kv(self.ln_k(x)).chunk(2, dim=-1)
        size = q.shape[-1] // self.heads
        heads = []
        for h in range(self.heads):
            part = slice(h * size, (h + 1) * size)
            weights = (q[..., part] * size**-0.5 @ k[..., part].transpose(1, 2)).softmax(-1)
            heads.append(weights @ v[..., part])
        return self.to_out(torch.cat(heads, -1))


class Conch(nn.Module):
    """`CONCHVisionTower` of TITAN: positions of 14 x 14, resampled to 28 x 28 at run time as in DINO."""

    def __init__(self, small: Mapping[str, Any]) -> None:
        super().__init__()
        width = 768 if not small else 32
        arguments = {"init_values": 1.0, "global_pool": "", "num_classes": 0, **small}
        self.trunk = timm.create_model("vit_large_patch16_224", **arguments)
        self.attn_pool_contrast = Pooler(width, self.trunk.num_features)
        self.ln_contrast = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        trunk = self.trunk
        x = trunk.patch_embed.proj(images)
        grid = x.shape[-1]
        x = torch.cat([trunk.cls_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        position = trunk.pos_embed[:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
        scale = (grid + 0.1) / 14
        position = nn.functional.interpolate(position, scale_factor=(scale, scale), mode="bicubic")
        position = torch.cat([trunk.pos_embed[:, :1], position.flatten(2).transpose(1, 2)], 1)
        x = trunk.norm(trunk.blocks(x + position))
        return self.ln_contrast(self.attn_pool_contrast(x)[:, 0])


class ClamResNet(nn.Module):
    """`TimmCNNEncoder` of CLAM: `features_only=True, out_indices=(3,)` and average pooling."""

    def __init__(self, _: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = models.resnet50(weights=None)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.net.state_dict(*args, **kwargs)

    def forward(self, images: Tensor) -> Tensor:
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        x = net.layer3(net.layer2(net.layer1(x)))
        return nn.AdaptiveAvgPool2d(1)(x).squeeze(-1).squeeze(-1)


class ImageNetResNet(ClamResNet):
    """`resnet50` of torchvision without its classifier."""

    def forward(self, images: Tensor) -> Tensor:
        body = nn.Sequential(*list(self.net.children())[:-1])
        return body(images).flatten(1)


_SWIGLU = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU}
_VIRCHOW = {"img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": "", **_SWIGLU}
_OPTIMUS = by_timm("vit_giant_patch14_reg4_dinov2", img_size=224, init_values=1e-5, dynamic_img_size=False)
_KAIKO = compose(HALF)


def _kaiko(name: str) -> Card:
    return Card(by_timm(name, dynamic_img_size=True), _KAIKO)


CARDS: dict[str, Card] = {
    "uni": Card(
        by_timm("vit_large_patch16_224", img_size=224, init_values=1e-5, dynamic_img_size=True),
        compose(IMAGENET),
    ),
    "uni2-h": Card(
        by_timm(
            "vit_giant_patch14_224", img_size=224, patch_size=14, depth=24, num_heads=24, init_values=1e-5,
            embed_dim=1536, mlp_ratio=2.66667 * 2, no_embed_class=True, reg_tokens=8, dynamic_img_size=True,
            **_SWIGLU,
        ),
        compose(IMAGENET),
    ),
    "virchow": Card(
        by_timm("vit_huge_patch14_224", **_VIRCHOW), compose(IMAGENET, how=BICUBIC), first_and_mean(1),
        {"token": first},
    ),
    "virchow2": Card(
        by_timm("vit_huge_patch14_224", reg_tokens=4, **_VIRCHOW), compose(IMAGENET, how=BICUBIC),
        first_and_mean(5), {"token": first},
    ),
    "h-optimus-0": Card(_OPTIMUS, compose(OPTIMUS)),
    "h-optimus-1": Card(_OPTIMUS, compose(OPTIMUS)),
    "h0-mini": Card(
        by_timm(
            "vit_base_patch14_reg4_dinov2", img_size=224, init_values=1e-5, mlp_ratio=5.33334, global_pool="",
            **_SWIGLU,
        ),
        compose(OPTIMUS, how=BICUBIC), first, {"token+mean": first_and_mean(5)},
    ),
    "prov-gigapath": Card(
        by_timm(
            "vit_giant_patch14_dinov2", img_size=224, patch_size=16, embed_dim=1536, depth=40, num_heads=24,
            mlp_ratio=5.33334, init_values=1e-5,
        ),
        compose(IMAGENET, 256, 224, BICUBIC), tile_px=256,
    ),
    "gigapath-flash": Card(
        lambda small: timm.models.vision_transformer.VisionTransformer(
            **{
                "img_size": 224, "patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 6,
                "mlp_ratio": 2048 / 384, "init_values": 1e-5, "num_classes": 0, **_SWIGLU, **small,
            }
        ),
        compose(IMAGENET, 256, 224, BICUBIC), tile_px=256,
    ),
    "conch-v1.5": Card(Conch, compose(IMAGENET, 448, 448), tile_px=512),
    "phikon": Card(by_transformers(224, 16, 768, 12, 12, eps=1e-12), compose(IMAGENET), first),
    "phikon-v2": Card(by_transformers(224, 16, 1024, 24, 16, dinov2=True), compose(IMAGENET), first),
    "midnight-12k": Card(
        by_transformers(224, 14, 1536, 40, 24, dinov2=True, swiglu=True), compose(HALF), first_and_mean(1),
        {"token": first},
    ),
    "hibou-b": Card(
        by_transformers(224, 14, 768, 12, 12, dinov2=True, swiglu=True, registers=4),
        compose(HIBOU, how=BICUBIC), first,
    ),
    "hibou-l": Card(
        by_transformers(224, 14, 1024, 24, 16, dinov2=True, swiglu=True, registers=4),
        compose(HIBOU, how=BICUBIC), first, smaller={**SMALL, "mlp_ratio": 256 / 48},
    ),
    "kaiko-vits8": _kaiko("vit_small_patch8_224"),
    "kaiko-vits16": _kaiko("vit_small_patch16_224"),
    "kaiko-vitb8": _kaiko("vit_base_patch8_224"),
    "kaiko-vitb16": _kaiko("vit_base_patch16_224"),
    "kaiko-vitl14": Card(kaiko_l14, _KAIKO),
    "lunit-vits8": Card(by_timm("vit_small_patch8_224"), compose(LUNIT)),
    "lunit-vits16": Card(by_timm("vit_small_patch16_224"), compose(LUNIT)),
    "ctranspath": Card(ctranspath, compose(IMAGENET)),
    "gpfm": Card(
        by_timm("vit_large_patch14_dinov2", img_size=224, init_values=1e-5), compose(IMAGENET, how=BICUBIC)
    ),
    "resnet50": Card(ImageNetResNet, compose(IMAGENET)),
    "resnet50-clam": Card(ClamResNet, compose(IMAGENET), tile_px=256),
}  # fmt: skip


def published(name: str, state: dict[str, Tensor]) -> dict[str, Any]:
    """The content of the published file for the weights of a card's network."""
    if name == "ctranspath":  # of timm 0.5.4: a stage ends with the downsampling, and masks are saved
        old = {
            key.replace(f"layers.{n}.downsample", f"layers.{n - 1}.downsample"): value
            for key, value in state.items()
            for n in [int(key.split(".")[1]) if key.startswith("layers.") else 0]
        }
        return {"model": {**old, "layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49)}}
    if name.startswith("midnight"):
        return {**state, "embeddings.mask_token": torch.zeros(1, state["layernorm.weight"].shape[0])}
    return state


def run(name: str, network: nn.Module, tiles: Any, pooling: str | None = None) -> Tensor:
    """Features of tiles, uint8 [N, H, W, 3], as the card computes them."""
    card = CARDS[name]
    images = torch.stack([card.transform(Image.fromarray(tile)) for tile in tiles])
    pool = card.other[pooling] if pooling else card.pool
    with torch.inference_mode():
        return pool(_reference(name, network)(images))


def _reference(name: str, network: nn.Module) -> nn.Module:
    """The network that the card runs: for Kaiko ViT-L/14 that of timm, with a dynamic size."""
    if name != "kaiko-vitl14":
        return network
    width, depth = network.norm.weight.shape[0], len(network.sequence)
    runner = timm.create_model(
        "vit_large_patch14_reg4_dinov2", num_classes=0, img_size=518, dynamic_img_size=True, embed_dim=width,
        depth=depth, num_heads=network.sequence[0].heads,
    )  # fmt: skip
    state = timm.models.vision_transformer.checkpoint_filter_fn(dict(network.state_dict()), runner)
    runner.load_state_dict(state)
    return runner.eval()
