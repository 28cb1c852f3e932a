"""Networks of other libraries, written from their definitions: key names and forward pass.

They are the oracles of exported models. `transformers`, DINOv2 and open_clip are not installed for the tests.
"""

# The children of `nn.Module` are not typed.
# mypy: disable-error-code="no-any-return, operator, union-attr"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Network = Callable[[Tensor], Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention of [B, N, D], with the softmax written out."""

    def split(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)

    q, k, v = split(q), split(k), split(v)
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def tree(**modules: nn.Module) -> nn.Module:
    """A module with these children, without a forward pass of its own."""
    module = nn.Module()
    for name, child in modules.items():
        module.add_module(name, child)
    return module


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * 0.2)


def swiglu_width(width: int, ratio: float = 4) -> int:
    """Hidden width of DINOv2's SwiGLU."""
    return (int(int(width * ratio) * 2 / 3) + 7) // 8 * 8


class Block(nn.Module):
    """A block of timm's and DINOv2's layout: `attn.qkv`, `ls1.gamma`, `mlp.fc1` or `mlp.w12`."""

    def __init__(self, width: int, heads: int, *, swiglu: int = 0, scale: bool = False, **names: str) -> None:
        super().__init__()
        self.heads, self.swiglu = heads, swiglu
        first, second = names.get("first", "fc1"), names.get("second", "fc2")
        self.names = first, second
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn = tree(qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width))
        inner = swiglu or 4 * width
        self.mlp = tree(
            **{first: nn.Linear(width, inner * (2 if swiglu else 1)), second: nn.Linear(inner, width)}
        )
        if scale:
            self.ls1, self.ls2 = nn.Module(), nn.Module()
            self.ls1.gamma, self.ls2.gamma = parameter(width), parameter(width)
        self.scaled = scale

    def forward(self, x: Tensor) -> Tensor:
        first, second = (getattr(self.mlp, name) for name in self.names)
        q, k, v = self.attn.qkv(self.norm1(x)).chunk(3, -1)
        x = x + self.attn.proj(attend(q, k, v, self.heads)) * (self.ls1.gamma if self.scaled else 1)
        y = first(self.norm2(x))
        y = F.silu(y.chunk(2, -1)[0]) * y.chunk(2, -1)[1] if self.swiglu else F.gelu(y)
        return x + second(y) * (self.ls2.gamma if self.scaled else 1)


class Dinov2(nn.Module):
    """`DinoVisionTransformer` of DINOv2 with its own names; `forward` returns the class token."""

    def __init__(
        self, px: int, patch: int, width: int, depth: int, heads: int, *,
        registers: int = 0, swiglu: bool = False, chunks: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        names = {"first": "w12", "second": "w3"} if swiglu else {}
        blocks = [
            Block(width, heads, swiglu=swiglu_width(width) if swiglu else 0, scale=True, **names)
            for _ in range(depth)
        ]
        self.patch_embed = tree(proj=nn.Conv2d(3, width, patch, patch))
        self.cls_token, self.mask_token = parameter(1, 1, width), parameter(1, width)
        self.pos_embed = parameter(1, (px // patch) ** 2 + 1, width)
        if registers:
            self.register_tokens = parameter(1, registers, width)
        self.registers = registers
        self.norm = nn.LayerNorm(width, eps=1e-6)
        if chunks:  # a chunk begins with as many identities as there are blocks before it
            size = depth // chunks
            parts = [[nn.Identity()] * i + blocks[i : i + size] for i in range(0, depth, size)]
            self.blocks = nn.ModuleList(nn.ModuleList(part) for part in parts)
        else:
            self.blocks = nn.ModuleList(blocks)
        self.sequence = blocks

    def tokens(self, images: Tensor) -> Tensor:
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        if self.registers:
            x = torch.cat([x[:, :1], self.register_tokens.expand(len(x), -1, -1), x[:, 1:]], 1)
        for block in self.sequence:
            x = block(x)
        return self.norm(x)

    def forward(self, images: Tensor) -> Tensor:
        return self.tokens(images)[:, 0]


class TransformersViT(nn.Module):
    """`ViTModel` or `Dinov2Model` of transformers; `forward` returns `last_hidden_state`."""

    def __init__(
        self, px: int, patch: int, width: int, depth: int, heads: int, *,
        dinov2: bool = False, registers: int = 0, swiglu: bool = False, eps: float = 1e-6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dinov2, self.heads, self.registers, self.swiglu = dinov2, heads, registers, swiglu
        self.embeddings = tree(patch_embeddings=tree(projection=nn.Conv2d(3, width, patch, patch)))
        self.embeddings.cls_token = parameter(1, 1, width)
        self.embeddings.position_embeddings = parameter(1, (px // patch) ** 2 + 1, width)
        if dinov2:
            self.embeddings.mask_token = parameter(1, width)
        if registers:
            self.embeddings.register_tokens = parameter(1, registers, width)
        self.encoder = tree(layer=nn.ModuleList(self._layer(width, eps) for _ in range(depth)))
        self.layernorm = nn.LayerNorm(width, eps=eps)

    def _layer(self, width: int, eps: float) -> nn.Module:
        linear = {name: nn.Linear(width, width) for name in ("query", "key", "value", "out")}
        attention = tree(
            attention=tree(**{name: linear[name] for name in ("query", "key", "value")}),
            output=tree(dense=linear["out"]),
        )
        norms = [nn.LayerNorm(width, eps=eps) for _ in range(2)]
        if not self.dinov2:
            return tree(
                attention=attention, intermediate=tree(dense=nn.Linear(width, 4 * width)),
                output=tree(dense=nn.Linear(4 * width, width)), layernorm_before=norms[0],
                layernorm_after=norms[1],
            )  # fmt: skip
        scales = [nn.Module(), nn.Module()]
        for scale in scales:
            scale.lambda1 = parameter(width)
        if self.swiglu:
            inner = swiglu_width(width)
            mlp = tree(weights_in=nn.Linear(width, 2 * inner), weights_out=nn.Linear(inner, width))
        else:
            mlp = tree(fc1=nn.Linear(width, 4 * width), fc2=nn.Linear(4 * width, width))
        return tree(
            norm1=norms[0], attention=attention, layer_scale1=scales[0], norm2=norms[1], mlp=mlp,
            layer_scale2=scales[1],
        )  # fmt: skip

    def _attention(self, layer: Any, x: Tensor) -> Tensor:
        inner = layer.attention.attention
        return layer.attention.output.dense(attend(inner.query(x), inner.key(x), inner.value(x), self.heads))

    def forward(self, images: Tensor) -> Tensor:
        e = self.embeddings
        x = e.patch_embeddings.projection(images).flatten(2).transpose(1, 2)
        x = torch.cat([e.cls_token.expand(len(x), -1, -1), x], 1) + e.position_embeddings
        if self.registers:
            x = torch.cat([x[:, :1], e.register_tokens.expand(len(x), -1, -1), x[:, 1:]], 1)
        for layer in self.encoder.layer:
            x = self._dinov2_layer(layer, x) if self.dinov2 else self._vit_layer(layer, x)
        return self.layernorm(x)

    def _vit_layer(self, layer: Any, x: Tensor) -> Tensor:
        x = x + self._attention(layer, layer.layernorm_before(x))
        return x + layer.output.dense(F.gelu(layer.intermediate.dense(layer.layernorm_after(x))))

    def _dinov2_layer(self, layer: Any, x: Tensor) -> Tensor:
        x = x + self._attention(layer, layer.norm1(x)) * layer.layer_scale1.lambda1
        y = layer.norm2(x)
        if self.swiglu:
            gate, value = layer.mlp.weights_in(y).chunk(2, -1)
            y = layer.mlp.weights_out(F.silu(gate) * value)
        else:
            y = layer.mlp.fc2(F.gelu(layer.mlp.fc1(y)))
        return x + y * layer.layer_scale2.lambda1


class OpenClipViT(nn.Module):
    """The vision transformer of open_clip; `forward` returns the class token before the projection."""

    def __init__(self, px: int, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = parameter(width)
        self.positional_embedding = parameter((px // patch) ** 2 + 1, width)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = tree(resblocks=nn.ModuleList(self._block(width) for _ in range(depth)))
        self.proj = parameter(width, 16)

    def _block(self, width: int) -> nn.Module:
        attn = tree(out_proj=nn.Linear(width, width))
        attn.in_proj_weight, attn.in_proj_bias = parameter(3 * width, width), parameter(3 * width)
        mlp = tree(c_fc=nn.Linear(width, 4 * width), c_proj=nn.Linear(4 * width, width))
        return tree(ln_1=nn.LayerNorm(width), attn=attn, ln_2=nn.LayerNorm(width), mlp=mlp)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            q, k, v = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, -1)
            x = x + block.attn.out_proj(attend(q, k, v, self.heads))
            x = x + block.mlp.c_proj(F.gelu(block.mlp.c_fc(block.ln_2(x))))
        return self.ln_post(x)[:, 0]


class TransformersClipViT(nn.Module):
    """`CLIPVisionModel` of transformers; `forward` returns `pooler_output`."""

    def __init__(self, px: int, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.vision_model = tree(
            embeddings=tree(
                patch_embedding=nn.Conv2d(3, width, patch, patch, bias=False),
                position_embedding=nn.Embedding((px // patch) ** 2 + 1, width),
            ),
            pre_layrnorm=nn.LayerNorm(width),
            encoder=tree(layers=nn.ModuleList(self._layer(width) for _ in range(depth))),
            post_layernorm=nn.LayerNorm(width),
        )
        self.vision_model.embeddings.class_embedding = parameter(width)

    def _layer(self, width: int) -> nn.Module:
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        return tree(
            self_attn=tree(**{name: nn.Linear(width, width) for name in names}),
            layer_norm1=nn.LayerNorm(width), layer_norm2=nn.LayerNorm(width),
            mlp=tree(fc1=nn.Linear(width, 4 * width), fc2=nn.Linear(4 * width, width)),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        m: Any = self.vision_model
        x = m.embeddings.patch_embedding(images).flatten(2).transpose(1, 2)
        x = torch.cat([m.embeddings.class_embedding.expand(len(x), 1, -1), x], 1)
        x = m.pre_layrnorm(x + m.embeddings.position_embedding.weight)
        for layer in m.encoder.layers:
            y, a = layer.layer_norm1(x), layer.self_attn
            x = x + a.out_proj(attend(a.q_proj(y), a.k_proj(y), a.v_proj(y), self.heads))
            y = layer.mlp.fc1(layer.layer_norm2(x))
            x = x + layer.mlp.fc2(y * torch.sigmoid(1.702 * y))  # quick GELU, as OpenAI's
        return m.post_layernorm(x[:, 0])


def randomised(network: nn.Module, seed: int = 0, std: float = 0.08) -> nn.Module:
    """Give a network random weights under which each of them matters, and put it into evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                if name.endswith("running_var"):
                    tensor.copy_(1 + 0.2 * noise.abs())
                else:
                    tensor.copy_(noise * std + (tensor.ndim == 1 and name.endswith("weight")))
    return network.eval()
