"""Checkpoints of the CluSiam repository in its own key layout, and architectures by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from wsi_embed.encoder import Encoder, load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, export, read_source
from wsi_embed_export.parity import made_tiles

MEAN, STD = (0.6684, 0.5115, 0.6791), (0.2521, 0.2875, 0.21)
PX = 32
GIVEN = Given(MEAN, STD, tile_px=PX, mpp=0.5)
TILES = made_tiles(np.random.default_rng(3), 24, PX)


@pytest.fixture(autouse=True)
def _few_tiles_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests compare their own; those that `export` compares are tested in test_parity.py."""
    monkeypatch.setattr("wsi_embed_export.parity.BATCHES", (1, 3))


def images(tiles: npt.NDArray[np.uint8] = TILES, mean: Any = MEAN, std: Any = STD) -> Tensor:
    scaled = torch.from_numpy(tiles).double().permute(0, 3, 1, 2) / 255
    return ((scaled - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)).float()


class Published(nn.Module):
    """Networks with the names that the CluSiam repository gives them."""

    def __init__(self, kind: str, clusters: int, width: int, resnet: str = "resnet18") -> None:
        super().__init__()
        self.width = width
        self.encoder = models.get_model(resnet, weights=None, zero_init_residual=True)
        features, hidden = self.encoder.fc.in_features, width if kind == "clubyol" else 24

        def layer(size: int) -> list[nn.Module]:
            return [nn.Linear(features, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]

        last = nn.Linear(features, width)
        self.encoder.fc = nn.Sequential(
            *layer(features), *layer(features), last, nn.BatchNorm1d(width, affine=False)
        )
        self.predictor = nn.Sequential(
            nn.Linear(width, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, width)
        )
        if kind == "clubyol":
            self.target_encoder = models.get_model(resnet, weights=None)
            self.target_encoder.fc = nn.Linear(features, width)
        self.cluster_projector = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.cluster_assigner = nn.Sequential(nn.Linear(hidden, clusters))

    def expected(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, projections and cluster logits, by the whole network with a hook before `fc`."""
        caught: list[Tensor] = []
        hook = self.encoder.fc.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        with torch.inference_mode():
            projection = self.encoder(batch)
            logits = self.cluster_assigner(self.cluster_projector(projection))
        hook.remove()
        return caught[0], projection, logits


def settled(network: nn.Module, forward: Callable[[], Any]) -> None:
    """Give batch norms statistics and residual branches weights, as training does."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 0.6  # one step is as good as many
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
    network.train()
    with torch.no_grad():
        forward()
    network.eval()


def published(
    folder: Path, kind: str, clusters: int, prefix: str = "", **more: Any
) -> tuple[Path, Published]:
    """A checkpoint as `main.py` of the repository writes it, and its network."""
    torch.manual_seed(clusters)
    network = Published(kind, clusters, more.pop("width", 48), **more)
    settled(network, lambda: network.cluster_projector(network.encoder(images())))
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network.predictor(torch.randn(4, network.width)).sum().backward()
    optimizer.step()
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    path = folder / f"{kind}_49.pth.tar"
    torch.save({"epoch": 50, "state_dict": state, "optimizer": optimizer.state_dict()}, path)
    return path, network.eval()


def assert_same(encoder: Encoder, network: Published) -> None:
    features, _, logits = network.expected(images())
    encoded = encoder.encode(TILES)
    np.testing.assert_allclose(encoded.features, features.numpy(), atol=2e-5 * float(features.abs().max()))
    best = logits.topk(2).values
    clear = (best[:, 0] - best[:, 1] > 1e-3).numpy()
    assert clear.sum() > 12
    assert encoded.cluster is not None
    assert encoded.confidence is not None
    assert np.array_equal(encoded.cluster[clear], logits.argmax(1).numpy()[clear])
    np.testing.assert_allclose(encoded.confidence, logits.softmax(1).max(1).values.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "clusters", "suffixes", "more"),
    [
        ("clubyol", 10, [".onnx", ".ts"], {}),
        ("clubyol", 100, [".ts"], {"prefix": "module."}),
        ("clusiam", 10, [".ts"], {"width": 2048}),
        ("clusiam", 100, [".ts"], {}),
        ("clubyol", 100, [".ts"], {"resnet": "resnet50"}),
    ],
)
def test_checkpoints_of_the_clusiam_repository(
    tmp_path: Path, kind: str, clusters: int, suffixes: list[str], more: dict[str, Any]
) -> None:
    path, network = published(tmp_path, kind, clusters, **more)
    ids = set()
    for name in (f"model{suffix}" for suffix in suffixes):
        about = export(path, tmp_path / name, given=GIVEN)
        assert (about.method, about.clusters, about.tile_px, about.mpp) == (kind, clusters, PX, 0.5)
        assert (about.backbone, about.mean, about.std) == (more.get("resnet", "resnet18"), MEAN, STD)
        assert about.training == {"epochs": 50}
        assert (about.source_checkpoint or "").startswith(f"{path.name} sha256:")
        assert_same(load_encoder(tmp_path / name, device="cpu"), network)
        ids.add(about.model_id)
    assert len(ids) == 1


def test_what_the_repositorys_file_does_not_hold_must_be_said(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not hold `std=` and `tile_px=` of its training; pass"):
        export(checkpoint, tmp_path / "model.onnx", given=Given(mean=MEAN))


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("encoder.layer4.1.conv2.weight", "its encoder must be resnet18, "),
        ("encoder.fc.7.running_mean", r"lacks 7\.running_mean"),
        ("cluster_projector.1.bias", r"lacks 1\.bias"),
        ("cluster_assigner.0.weight", "a part of a cluster head only"),
    ],
)
def test_a_file_that_lost_something_is_refused(
    checkpoint: Path, tmp_path: Path, lost: str, message: str
) -> None:
    path = tmp_path / "lost.pth.tar"
    content = torch.load(checkpoint, weights_only=True)
    del content["state_dict"][lost]
    torch.save(content, path)
    with pytest.raises(UsageError, match=message):
        export(path, tmp_path / "model.onnx", given=GIVEN)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def vit(folder: Path, name: str = "vit_tiny_patch16_224", **settings: Any) -> tuple[Path, nn.Module]:
    """Weights of a vision transformer with a classifier, behind `module.`, as safetensors."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(2)
    network = timm.create_model(name, num_classes=3, **settings).eval()
    save_file({f"module.{k}": v for k, v in network.state_dict().items()}, folder / "vit.safetensors")
    return folder / "vit.safetensors", network


@pytest.mark.parametrize("suffix", [".onnx", ".ts"])
def test_a_vit_of_timm(tmp_path: Path, suffix: str) -> None:
    weights, network = vit(tmp_path, img_size=32, depth=2)
    about = export(
        "timm:vit_tiny_patch16_224", tmp_path / f"model{suffix}", weights=weights,
        settings={"img_size": 32, "depth": 2}, given=Given(tile_px=32),
    )  # fmt: skip
    assert (about.backbone, about.method, about.clusters) == ("timm/vit_tiny_patch16_224", "weights", None)
    assert (about.mean, about.std, about.mpp) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), None)
    tiles = made_tiles(np.random.default_rng(4), 5, 32)
    encoder = load_encoder(tmp_path / f"model{suffix}", device="cpu", mpp=0.5)
    with torch.inference_mode():
        batch = images(tiles, about.mean, about.std)
        features = network.forward_head(network.forward_features(batch), pre_logits=True)  # type: ignore[operator]
    np.testing.assert_allclose(encoder.encode(tiles).features, features.numpy(), atol=1e-4)


def test_layers_of_a_foundation_model_by_name(tmp_path: Path) -> None:
    layers_of_timm = pytest.importorskip("timm.layers")
    settings: dict[str, Any] = {
        "img_size": 28,
        "patch_size": 14,
        "depth": 1,
        "num_heads": 3,
        "init_values": 1e-5,
        "reg_tokens": 4,
    }
    layers = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}

    weights, _ = vit(tmp_path, **settings, mlp_layer=layers_of_timm.SwiGLUPacked, act_layer=nn.SiLU)
    trained = read_source(
        "timm:vit_tiny_patch16_224", Given(tile_px=28), weights=weights, settings=settings | layers
    )
    assert any(isinstance(module, nn.SiLU) for module in trained.backbone.modules())
    with pytest.raises(UsageError, match=r"neither timm\.layers nor torch\.nn has a Nothing"):
        read_source("timm:vit_tiny_patch16_224", weights=weights, settings={"mlp_layer": "Nothing"})
    with pytest.raises(UsageError, match="does not take colour"):
        read_source("timm:vit_tiny_patch16_224", weights=weights, settings={"colour": 1})


def test_weights_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = models.resnet18(weights=None)
    settled(network, lambda: network(images()))
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    about = export(
        "torchvision:resnet18",
        tmp_path / "model.ts",
        weights=tmp_path / "weights.pth",
        given=Given(tile_px=PX),
    )
    assert (about.mean, about.feature_dim) == ((0.485, 0.456, 0.406), 512)
    network.fc = nn.Identity()
    with torch.inference_mode():
        expected = network(images(mean=about.mean, std=about.std)).numpy()
    found = load_encoder(tmp_path / "model.ts", device="cpu", mpp=0.5).encode(TILES).features
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(models.resnet34(weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UsageError, match=r"do not fit the architecture: it has layer1\.2\.conv1.* too many"):
        export("torchvision:resnet18", tmp_path / "model.ts", weights=tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("source", "given", "message"),
    [
        ("timm:resnet10t", {}, "timm:resnet10t: needs weights, .* `weights=FILE`"),
        ("torchvision:resnet18", {"weights": Path("missing.pth")}, "missing.pth: no such file"),
        ("torchvision:resnet17", {"weights": Path(__file__)}, "no such classification model"),
        ("torchvision:resnet18", {"weights": Path(__file__), "settings": {"a": 1}}, "take no arguments"),
        ("run", {"weights": Path(__file__)}, "`weights=` and `settings=` are for"),
        ("virchow_2", {"weights": Path(__file__)}, r"torchvision:NAME; near presets: virchow2, virchow"),
        ("Virchow-2", {}, r"torchvision:NAME\); near presets: virchow2, virchow"),
        ("wholly-unlike", {}, r"torchvision:NAME\)$"),
    ],
)
def test_sources_that_cannot_be(source: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_source(source, **given)


def test_a_safetensors_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    with pytest.raises(UsageError, match="not a safetensors file"):
        read_source("torchvision:resnet18", weights=tmp_path / "w.safetensors")


def test_outputs_that_are_not_there(tmp_path: Path) -> None:
    weights, _ = vit(tmp_path, img_size=32, depth=1)
    for output, lacks in (("projection", "projector"), ("cluster_logits", "cluster head")):
        with pytest.raises(UsageError, match=f"`outputs='{output}'`: this model has no {lacks}"):
            export(
                "timm:vit_tiny_patch16_224", tmp_path / "m.ts", weights=weights, outputs=[output],
                settings={"img_size": 32, "depth": 1}, given=Given(tile_px=32),
            )  # fmt: skip
