"""Key layouts of published weights, and their translation to the names of timm and torchvision."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class KeyLayout:
    """Names that a library gives to the weights of an architecture.

    Attributes:
        name: Name of the layout.
        marker: Pattern of a key that only this layout has; its first group is the prefix of the network.
        rules: Patterns and replacements, applied one after the other to the names behind the prefix.
    """

    name: str
    marker: str
    rules: tuple[Rule, ...]


TRANSFORMERS = KeyLayout(
    "transformers",  # ViTModel, Dinov2Model and Dinov2WithRegistersModel
    r"((?:.*\.)?)encoder\.layer\.\d+\.attention\.attention\.query\.weight",
    (
        (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^encoder\.layer\.", "blocks."),
        (r"^(blocks\.\d+)\.attention\.attention\.(query|key|value)\.", r"\1.attn.\2."),
        (r"^(blocks\.\d+)\.attention\.output\.dense\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.layernorm_before\.", r"\1.norm1."),
        (r"^(blocks\.\d+)\.layernorm_after\.", r"\1.norm2."),
        (r"^(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"^(blocks\.\d+)\.layer_scale(\d)\.lambda1$", r"\1.ls\2.gamma"),
        (r"^(blocks\.\d+)\.mlp\.weights_in\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.mlp\.weights_out\.", r"\1.mlp.fc2."),
        (r"^layernorm\.", "norm."),
    ),
)
DINOV2 = KeyLayout(
    "dinov2",  # the repository of DINOv2: registers, SwiGLU, and blocks in chunks
    r"((?:.*\.)?)(?:register_tokens|blocks\.\d+\.mlp\.w12\.weight|blocks\.\d+\.\d+\.norm1\.weight)",
    (
        (r"^register_tokens$", "reg_token"),
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # a block in a chunk keeps its number in the network
        (r"^(blocks\.\d+)\.mlp\.w12\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.mlp\.w3\.", r"\1.mlp.fc2."),
    ),
)
OPEN_CLIP = KeyLayout(
    "open_clip",  # the vision transformers of open_clip and of OpenAI's CLIP
    r"((?:.*\.)?)class_embedding",
    (
        (r"^conv1\.", "patch_embed.proj."),
        (r"^class_embedding$", "cls_token"),
        (r"^positional_embedding$", "pos_embed"),
        (r"^ln_pre\.", "norm_pre."),
        (r"^ln_post\.", "norm."),
        (r"^transformer\.resblocks\.", "blocks."),
        (r"^(blocks\.\d+)\.ln_(\d)\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.ls_(\d)\.", r"\1.ls\2."),
        (r"^(blocks\.\d+)\.attn\.in_proj_", r"\1.attn.qkv."),
        (r"^(blocks\.\d+)\.attn\.out_proj\.", r"\1.attn.proj."),
        (r"^(blocks\.\d+)\.mlp\.c_fc\.", r"\1.mlp.fc1."),
        (r"^(blocks\.\d+)\.mlp\.c_proj\.", r"\1.mlp.fc2."),
        (r"^proj$", "head.proj"),  # projection to the space of text
    ),
)
TRANSFORMERS_CLIP = KeyLayout(
    "transformers-clip",  # CLIPModel and CLIPVisionModel
    r"((?:.*\.)?)embeddings\.class_embedding",
    (
        (r"^embeddings\.class_embedding$", "cls_token"),
        (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
        (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
        (r"^pre_layrnorm\.", "norm_pre."),  # the name has this typing error
        (r"^post_layernorm\.", "norm."),
        (r"^encoder\.layers\.", "blocks."),
        (r"^(blocks\.\d+)\.layer_norm(\d)\.", r"\1.norm\2."),
        (r"^(blocks\.\d+)\.self_attn\.q_proj\.", r"\1.attn.query."),
        (r"^(blocks\.\d+)\.self_attn\.k_proj\.", r"\1.attn.key."),
        (r"^(blocks\.\d+)\.self_attn\.v_proj\.", r"\1.attn.value."),
        (r"^(blocks\.\d+)\.self_attn\.out_proj\.", r"\1.attn.proj."),
    ),
)
SWIN = KeyLayout(
    "swin",  # Swin before timm 0.9: a stage ends with the downsampling that now begins the next
    r"((?:.*\.)?)layers\.0\.downsample\.reduction\.weight",
    ((r"^layers\.(\d+)\.downsample\.", lambda found: f"layers.{int(found[1]) + 1}.downsample."),),
)
SEQUENTIAL_RESNET = KeyLayout(
    "sequential",  # nn.Sequential(*resnet.children()), as in Lightly
    r"((?:.*\.)?)4\.0\.conv1\.weight",
    (
        (r"^0\.(\w+)$", r"conv1.\1"),
        (r"^1\.(\w+)$", r"bn1.\1"),
        (r"^([4-7])\.(?=\d+\.)", lambda found: f"layer{int(found[1]) - 3}."),
    ),
)
LAYOUTS = (TRANSFORMERS, TRANSFORMERS_CLIP, DINOV2, OPEN_CLIP, SWIN, SEQUENTIAL_RESNET)


def translated(state: Mapping[str, Tensor], layouts: Iterable[KeyLayout] = LAYOUTS) -> dict[str, Tensor]:
    """Return the weights of a file under the names of timm or torchvision, prefixes kept.

    Separate weights of query, key and value become one tensor.

    Args:
        state: The weights of a file. Names of an unknown layout stay as they are.
        layouts: Layouts to look for.

    Example:
        >>> import torch
        >>> from wsi_embed_train.weights.key_layouts import translated
        >>> list(translated({"backbone.register_tokens": torch.zeros(1, 4, 8)}))
        ['backbone.reg_token']
    """
    names = {name: name for name in state}
    for layout in layouts:
        found = (re.fullmatch(layout.marker, name) for name in state)
        for prefix in {match[1] for match in found if match}:
            behind = (name for name in state if name.startswith(prefix) and names[name] == name)
            names.update({name: prefix + _renamed(name[len(prefix) :], layout) for name in behind})
    return _fused({names[name]: tensor for name, tensor in state.items()})


def _renamed(name: str, layout: KeyLayout) -> str:
    for pattern, replacement in layout.rules:
        name = re.sub(pattern, replacement, name)
    return name


def _fused(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join the weights of query, key and value."""
    for name in [name for name in state if ".attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            state[name.replace(".query.", ".qkv.")] = torch.cat([state.pop(part) for part in parts])
    return state
