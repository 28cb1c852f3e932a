from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.export.published import TransformersViT, randomised
from wsi_embed.errors import UsageError
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.weights.initial import load_initial, read_initial


def vit(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make_backbone("timm/test_vit")[0]


def state(seed: int = 1) -> dict[str, Tensor]:
    return dict(vit(seed).state_dict())


def renamed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


TEACHER = renamed("student.backbone.", state(2)) | renamed("teacher.backbone.", state())
TARGET = renamed("network.target.backbone.", state(2)) | renamed("network.encoder.backbone.", state())
LAYOUTS: dict[str, Any] = {
    "plain": state(),
    "with a classifier": state() | {"head.weight": torch.zeros(10, 64), "head.bias": torch.zeros(10)},
    "data parallel": {"state_dict": renamed("module.", state())},
    "compiled": renamed("module._orig_mod.backbone.", state()),
    "contrastive": {"epoch": 3, "state_dict": renamed("module.encoder_q.", state())},
    "language and image": renamed("visual.trunk.", state()) | {"logit_scale": torch.zeros(())},
    "teacher and student": TEACHER,
    "student first": dict(reversed(TEACHER.items())),
    "teacher apart": {"student": state(2), "teacher": renamed("backbone.", state())},
    "with a target network": {"state_dict": TARGET},
    "half precision": {name: tensor.half() for name, tensor in state().items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_found_in_every_layout(layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout], tmp_path / "weights.pt")
    net = vit()
    found = read_initial(tmp_path / "weights.pt", net, least_share=1.0)
    load_initial(found, net)
    expected = state()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4, msg=name)
    assert found.name.startswith("weights.pt sha256:")
    assert (found.missing, found.misfits) == ((), ())
    assert found.unused == (("head.weight", "head.bias") if layout == "with a classifier" else ())


def test_weights_of_another_image_size_and_of_transformers(tmp_path: Path) -> None:
    sizes = {"img_size": 56, "patch_size": 14, "embed_dim": 48, "depth": 3, "num_heads": 3}
    net, _ = make_backbone("vit_small_patch14_dinov2", **sizes)
    theirs = randomised(TransformersViT(28, 14, 48, 3, 3, dinov2=True)).state_dict()
    torch.save(theirs, tmp_path / "w.bin")
    found = read_initial(tmp_path / "w.bin", net, least_share=1.0)
    assert (found.missing, found.misfits) == ((), ())
    assert found.to_dict()["resampled"] == ["pos_embed resampled from 2 x 2 to 4 x 4 patches"]
    assert "resampled from 2 x 2" in str(found)
    bias = theirs["encoder.layer.1.attention.attention.key.bias"]
    assert torch.equal(found.tensors["blocks.1.attn.qkv.bias"][48:96], bias)


def test_safetensors(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors")
    found = read_initial(tmp_path / "w.safetensors", vit(), least_share=1.0)
    assert found.tensors.keys() == state().keys()


def test_what_does_not_fit_keeps_its_start_and_is_named(tmp_path: Path) -> None:
    weights = state()
    weights["pos_embed"] = torch.zeros(1, 3, 64)
    del weights["norm.bias"]
    weights["mask_token"] = torch.zeros(1, 64)
    torch.save(weights, tmp_path / "w.pt")
    net = vit()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = read_initial(tmp_path / "w.pt", net, least_share=0.9)
    assert (found.missing, found.misfits, found.unused) == (("norm.bias",), ("pos_embed",), ("mask_token",))
    total = len(before)
    assert f"{total - 2} of {total} tensors of the backbone" in str(found)
    assert "not in the file: norm.bias; of another shape or type: pos_embed; not used: mask_token" in str(
        found
    )
    load_initial(found, net)
    kept = {name for name, tensor in net.state_dict().items() if torch.equal(tensor, before[name])}
    assert {"pos_embed", "norm.bias"} <= kept
    assert torch.equal(net.state_dict()["blocks.0.attn.qkv.weight"], weights["blocks.0.attn.qkv.weight"])


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(make_backbone("timm/test_resnet")[0].state_dict(), tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"too few of its weights fit .* 0 of \d+ tensors .*`backbone=`"):
        read_initial(tmp_path / "w.pt", vit(), least_share=0.0)


def test_too_small_a_share_is_refused(tmp_path: Path) -> None:
    half = dict(list(state().items())[:30])
    torch.save(half, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="30 of 78 tensors"):
        read_initial(tmp_path / "w.pt", vit(), least_share=0.5)
    assert len(read_initial(tmp_path / "w.pt", vit(), least_share=0.3).tensors) == 30


def test_batch_norm_counters_are_not_counted(tmp_path: Path) -> None:
    net = make_backbone("timm/test_resnet")[0]
    old = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "w.pt")
    found = read_initial(tmp_path / "w.pt", net, least_share=1.0)
    assert found.total == len(found.tensors) == len(old)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    weights = state()
    weights["norm.bias"] = torch.full_like(weights["norm.bias"], value)
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"NaN or infinite: norm\.bias"):
        read_initial(tmp_path / "w.pt", vit(), least_share=0.9)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    for path, message in {
        tmp_path: "has no checkpoints/last.ckpt; give weights, or a run folder, as `init=`",
        tmp_path / "w.pt": "no such file; give weights",
        Path("https://example.org/w.pt"): "an address, and nothing is downloaded; download the file first",
    }.items():
        with pytest.raises(UsageError, match=message):
            read_initial(path, vit(), least_share=0.9)


def cyclic() -> dict[str, Any]:
    content: dict[str, Any] = {"epoch": 1}
    content["state_dict"] = content
    return content


@pytest.mark.parametrize(
    "weights",
    [
        {name: torch.zeros(tensor.shape, dtype=torch.int8) for name, tensor in state().items()},
        {name: tensor.to(torch.complex64) for name, tensor in state().items()},
        {name: tensor.to("meta") for name, tensor in state().items()},
        {name: tensor.to_sparse() for name, tensor in state().items()},
        cyclic(),
    ],
    ids=["int8", "complex", "meta", "sparse", "cyclic"],
)
def test_tensors_that_are_no_plain_numbers_are_refused(weights: dict[str, Any], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="too few of its weights fit"):
        read_initial(tmp_path / "w.pt", vit(), least_share=0.9)


def test_weights_beyond_float32_and_negative_variances_are_refused(tmp_path: Path) -> None:
    huge = state()
    huge["norm.bias"] = torch.full_like(huge["norm.bias"], 1e300, dtype=torch.float64)
    torch.save(huge, tmp_path / "huge.pt")
    with pytest.raises(UsageError, match="NaN or infinite"):
        read_initial(tmp_path / "huge.pt", vit(), least_share=0.9)
    net = make_backbone("timm/test_resnet")[0]
    net.get_buffer("bn1.running_var").fill_(-1)
    torch.save(net.state_dict(), tmp_path / "bn.pt")
    with pytest.raises(UsageError, match=r"negative variances: bn1\.running_var"):
        read_initial(tmp_path / "bn.pt", net, least_share=0.9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a Git LFS pointer, not the weights",
        ),
        (b"\n<!DOCTYPE html><html></html>", "a web page, not weights; download the file itself"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_files_that_hold_something_else_are_called_so(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_initial(tmp_path / name, vit(), least_share=0.9)


@pytest.mark.parametrize("mean", [["a"], [0.5], [float("nan")] * 3, None])
def test_a_damaged_normalisation_is_not_taken(mean: Any, tmp_path: Path) -> None:
    content = {"state_dict": state(), "wsi_embed": {"data": {"mean": mean, "std": [0.2, 0.2, 0.2]}}}
    torch.save(content, tmp_path / "w.pt")
    found = read_initial(tmp_path / "w.pt", vit(), least_share=0.9)
    assert (found.mean, found.std) == (None, None)
