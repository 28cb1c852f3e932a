"""Comparison with features that the user computed by the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.transforms.functional import normalize, to_tensor
from typer.testing import CliRunner

from tests.export.published import randomised
from wsi_embed.cli import app
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed_export import Given, export
from wsi_embed_export.parity import ParityError
from wsi_embed_export.real_tiles import packaged_tiles

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PX = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a ResNet-18, and the features of 12 tiles as a card computes them, in half precision."""
    folder = tmp_path_factory.mktemp("golden")
    network = randomised(models.resnet18(weights=None), std=0.05)
    torch.save(network.state_dict(), folder / "w.pth")
    network.fc = nn.Identity()
    tiles = packaged_tiles(np.random.default_rng(3), 12, PX)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        features = network(torch.stack([normalize(to_tensor(tile), *IMAGENET) for tile in tiles]))
    np.savez(folder / "golden.npz", tiles=tiles, features=features.float().numpy())
    return folder


@pytest.fixture(autouse=True)
def _few_tiles_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests compare their own; those that `export` compares are tested in test_parity.py."""
    monkeypatch.setattr("wsi_embed_export.parity.BATCHES", (1, 3))


def exported(folder: Path, out: Path, **more: Any) -> Any:
    mean, std = more.pop("colours", IMAGENET)
    given = Given(mean, std, tile_px=PX, mpp=0.5)
    return export("torchvision:resnet18", out, weights=folder / "w.pth", given=given, **more)


def test_the_figures_are_recorded(folder: Path, tmp_path: Path) -> None:
    exported(folder, tmp_path / "m.ts", golden=folder / "golden.npz")
    parity = load_encoder(tmp_path / "m.ts", device="cpu").metadata.parity
    assert parity["golden_tiles"] == 12
    assert 0.999 < parity["golden_cosine"] < 1
    assert 0.98 < parity["golden_centred_cosine"] < parity["golden_cosine"]


def test_another_normalisation_is_found(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ParityError, match=r"differs from the features of golden\.npz .*; no file was written"
    ):
        exported(folder, tmp_path / "m.ts", golden=folder / "golden.npz", colours=((0.5,) * 3, (0.5,) * 3))
    assert list(tmp_path.iterdir()) == []


TILES, FEATURES = np.zeros((4, PX, PX, 3), np.uint8), np.zeros((4, 512), np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"tiles": TILES}, r"not an \.npz file with `tiles` and `features` .*features"),
        ({"tiles": TILES.astype(np.float32), "features": FEATURES}, "tiles are float32"),
        ({"tiles": TILES.transpose(0, 3, 1, 2), "features": FEATURES}, r"expected uint8 \[N, H, W, 3\]"),
        (
            {"tiles": TILES[:, :32, :32], "features": FEATURES},
            "tiles have 32 x 32 pixels, those of the model 64",
        ),
        ({"tiles": TILES, "features": FEATURES[:, :9]}, r"9 features .* has 512; is it another `pooling=`"),
        ({"tiles": TILES, "features": FEATURES[:3]}, r"features \[3, 512\] do not belong to tiles \[4,"),
        ({"tiles": TILES[:1], "features": FEATURES[:1]}, "at least two of each are needed"),
        ({"tiles": np.array([object()]), "features": FEATURES}, "not an .npz file"),
    ],
    ids=range(8),
)
def test_files_that_do_not_fit(folder: Path, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "g.npz", allow_pickle=True, **arrays)
    with pytest.raises(UsageError, match=rf"g\.npz: .*{message}"):
        exported(folder, tmp_path / "m.ts", golden=tmp_path / "g.npz")


def test_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("features")
    for name in ("text.npz", "missing.npz"):
        with pytest.raises(UsageError, match=rf"{name}: not an \.npz file"):
            exported(folder, tmp_path / "m.ts", golden=tmp_path / name)
    np.save(tmp_path / "g.npy", FEATURES)
    with pytest.raises(UsageError, match=r"g\.npy: not an \.npz file"):
        exported(folder, tmp_path / "m.ts", golden=tmp_path / "g.npy")


def test_the_command_prints_the_comparison(folder: Path, tmp_path: Path) -> None:
    arguments = ["export", "torchvision:resnet18", "--weights", folder / "w.pth", "--out", tmp_path / "m.ts"]
    numbers = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--tile-px", PX, "--mpp", 0.5]
    done = CliRunner().invoke(app, [*map(str, arguments + numbers), "--golden", str(folder / "golden.npz")])
    assert done.exit_code == 0, done.output
    assert "\nagainst golden.npz: tiles 12, cosine 0.999" in done.output
    assert "golden" not in done.output.split("against PyTorch fp32:")[1].split("\n")[0]
