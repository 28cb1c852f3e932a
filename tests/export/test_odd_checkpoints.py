"""Checkpoints as laboratories have them: the right weights, or one clear line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.export.published import randomised
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, read_source
from wsi_embed_export.presets import presets

timm = pytest.importorskip("timm")
NAME = "vit_small_patch16_224"
SMALL = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
GIVEN = Given(tile_px=32, mean=(0.7, 0.5, 0.6), std=(0.2, 0.2, 0.2))
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
State = dict[str, Tensor]


def transformer(seed: int = 0, **more: Any) -> nn.Module:
    return randomised(timm.create_model(NAME, num_classes=0, **{**SMALL, **more}), seed)


NETWORK = transformer()
STATE: State = dict(NETWORK.state_dict())
OTHER: State = dict(transformer(1).state_dict())


def read(path: Path, **settings: Any) -> Tensor:
    """Features of the network that is read from a file."""
    trained = read_source(f"timm:{NAME}", GIVEN, weights=path, settings={**SMALL, **settings})
    with torch.inference_mode():
        features: Tensor = trained.backbone.eval()(IMAGES)
    return features


def saved(content: Any, tmp_path: Path) -> Path:
    torch.save(content, tmp_path / "w.bin")
    return tmp_path / "w.bin"


def within(name: str) -> State:
    """The weights with the name of a wrapper between those of the modules."""
    return {key.replace("blocks.1.", f"blocks.1.{name}."): tensor for key, tensor in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        {"ema": STATE, "epoch": torch.tensor(3)},
        {"module": {f"module.{key}": tensor for key, tensor in STATE.items()}, "step": torch.tensor(3)},
        {f"_fsdp_wrapped_module.{key}": tensor for key, tensor in within("_fsdp_wrapped_module").items()},
        within("_checkpoint_wrapped_module"),
        within("_orig_mod"),
        {"copy": STATE, "same": STATE},
    ],
    ids=["counter beside it", "DeepSpeed", "FSDP", "activation checkpoint", "compiled block", "twice"],
)
def test_wrapped_weights(content: Any, tmp_path: Path) -> None:
    torch.testing.assert_close(read(saved(content, tmp_path)), NETWORK(IMAGES).detach())


def test_two_networks_are_no_matter_of_chance(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^w\.bin: has several networks that fit \(online and slow\); save "
    ):
        read(saved({"online": OTHER, "slow": STATE}, tmp_path))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda tensor: (tensor * 50).to(torch.int8), "the type int8, strided"),
        (lambda tensor: tensor.to(torch.float8_e4m3fn), "the type float8_e4m3fn, strided"),
        (lambda tensor: tensor > 0, "the type bool, strided"),
        (lambda tensor: tensor.to(torch.complex64), "the type complex64, strided"),
        (lambda tensor: tensor.to_sparse(), "the type float32, sparse_coo"),
        (lambda tensor: tensor.to("meta"), "no values"),
    ],
)
def test_weights_that_are_no_plain_numbers(
    change: Callable[[Tensor], Tensor], kind: str, tmp_path: Path
) -> None:
    name = "blocks.0.mlp.fc1.weight"
    with pytest.raises(UsageError, match=f"^w.bin: {name} has {kind}; save it in float32 or float16"):
        read(saved({**STATE, name: change(STATE[name])}, tmp_path))


def test_a_large_tensor_in_a_small_file(tmp_path: Path) -> None:
    content = {**STATE, "blocks.0.mlp.fc1.weight": torch.zeros(1).expand(10**11)}
    with pytest.raises(UsageError, match=r"other shapes \(blocks\.0\.mlp\.fc1\.weight \[100000000000\]"):
        read(saved(content, tmp_path))


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.bin", metadata={"format": "pt"})
    torch.save(STATE, tmp_path / "b.safetensors")
    for name in ("a.bin", "b.safetensors"):
        torch.testing.assert_close(read(tmp_path / name), NETWORK(IMAGES).detach())


def test_weights_in_several_files(tmp_path: Path) -> None:
    names = [f"model-{n:05d}-of-00002.safetensors" for n in (1, 2)]
    files = {key: names[n % 2] for n, key in enumerate(STATE)}
    for name in names:
        save_file({key: STATE[key] for key in STATE if files[key] == name}, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    torch.testing.assert_close(read(index), NETWORK(IMAGES).detach())
    with pytest.raises(UsageError, match=r"one of several files: give the one that ends in \.index\.json"):
        read(tmp_path / names[0])
    (tmp_path / names[1]).unlink()
    with pytest.raises(UsageError, match=rf"^model\.safetensors\.index\.json: {names[1]} missing beside it"):
        read(index)


def test_compressed_archives(tmp_path: Path) -> None:
    path = saved(STATE, tmp_path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "c.bin", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    (tmp_path / "g.bin").write_bytes(b"\x1f\x8b" + bytes(100))
    for name in ("c.bin", "g.bin"):
        with pytest.raises(UsageError, match=f"^{name}: a compressed archive, not weights; unpack it"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({"init_values": 1e-5}, r"init_values=1e-5"),
        ({"reg_tokens": 4}, r"reg_tokens=4"),
        ({"qkv_bias": False}, r"qkv_bias=false"),
        ({"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU}, r"mlp_layer=SwiGLUPacked"),
        ({"img_size": 64}, r"give theirs as `img_size`"),
    ],
)
def test_what_an_architecture_lacks_is_said(more: dict[str, Any], remedy: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=remedy):
        read(saved(dict(transformer(**more).state_dict()), tmp_path))


def test_gates_of_gelu_are_no_swiglu(tmp_path: Path) -> None:
    network = transformer(mlp_layer=timm.layers.SwiGLUPacked, act_layer=nn.SiLU)
    path = saved(dict(network.state_dict()), tmp_path)
    with pytest.raises(UsageError, match=r"timm would use GELU in it; add `act_layer=SiLU`"):
        read(path, mlp_layer="SwiGLUPacked")
    found = read(path, mlp_layer="SwiGLUPacked", act_layer="SiLU")
    torch.testing.assert_close(found, network(IMAGES).detach())


def test_a_preset_knows_the_names_of_its_file(tmp_path: Path) -> None:
    """Phikon-v2 has the shapes of UNI under the names of another library."""
    signature = presets()["phikon-v2"].signature
    path = saved({name: torch.zeros(shape) for name, shape in signature.items()}, tmp_path)
    with pytest.raises(UsageError, match=r"not the weights of UNI: it has no .* are those of .*phikon-v2"):
        read_source("uni", weights=path)


def hub(tmp_path: Path, **about: Any) -> Path:
    """A folder as downloaded from a model hub."""
    arguments = {key: value for key, value in SMALL.items() if key != "img_size"}
    about = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 32, 32], **about}
    config = {"architecture": NAME, "model_args": {**arguments, "num_classes": 9}, "pretrained_cfg": about}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(STATE, tmp_path / "model.safetensors")
    return tmp_path


def test_a_fixed_size_is_that_of_the_network(tmp_path: Path) -> None:
    trained = read_source(hub(tmp_path, fixed_input_size=True))
    assert trained.tile_px == 32
    torch.testing.assert_close(trained.backbone(IMAGES), NETWORK(IMAGES))


@pytest.mark.parametrize(
    "about",
    [
        {"input_size": [32, 32, 3]},
        {"input_size": [1, 32, 32]},
        {"input_size": [3, 32, 64]},
        {"std": [0, 0, 0]},
    ],
)
def test_figures_that_cannot_be(about: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config\.json beside the weights is damaged"):
        read_source(hub(tmp_path, **about))
