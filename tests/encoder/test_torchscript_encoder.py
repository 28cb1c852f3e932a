from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.encoder.conftest import tiny_torchscript
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import DeviceError, MissingExtraError, ModelError, UsageError

torch = pytest.importorskip("torch")

Tiles = npt.NDArray[np.uint8]


def test_onnx_and_torchscript_agree(tiny: Path, tiny_ts: Path, tiles: Tiles) -> None:
    first, second = (load_encoder(p, device="cpu").encode(tiles) for p in (tiny, tiny_ts))
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.cluster, second.cluster)
    assert first.confidence is not None
    assert second.confidence is not None
    np.testing.assert_allclose(first.confidence, second.confidence, rtol=1e-6)


def test_metadata_come_with_the_file(tiny: Path, tiny_ts: Path) -> None:
    assert load_encoder(tiny_ts, device="cpu").metadata == load_encoder(tiny, device="cpu").metadata


def test_model_without_cluster_head(tmp_path: Path, tiles: Tiles) -> None:
    encoder = load_encoder(tiny_torchscript(tmp_path / "model.ts", clusters=False), device="cpu")
    encoded = encoder.encode(tiles)
    assert encoded.features.shape == (5, 8)
    assert encoded.cluster is None
    assert encoder.clusters is None


def test_foreign_file_needs_flags(tmp_path: Path) -> None:
    path = tiny_torchscript(tmp_path / "theirs.ts", metadata=False)
    with pytest.raises(ModelError, match="`tile_px=` and `mpp=`"):
        load_encoder(path, device="cpu")
    encoder = load_encoder(path, device="cpu", tile_px=32, mpp=0.5)
    assert encoder.model_id == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert encoder.feature_dim == 8


def test_other_tile_size_is_refused(tiny_ts: Path) -> None:
    with pytest.raises(UsageError, match=r"`tile_px=64`: tiny\.ts takes tiles of 32 pixels only"):
        load_encoder(tiny_ts, device="cpu", tile_px=64)


def test_wrong_tiles_are_refused(tiny_ts: Path) -> None:
    with pytest.raises(ValueError, match="wants uint8"):
        load_encoder(tiny_ts, device="cpu").encode(np.zeros((1, 64, 64, 3), np.uint8))


def test_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.ts"
    path.write_text("not a model")
    with pytest.raises(ModelError, match=r"model\.ts: not a TorchScript model"):
        load_encoder(path, device="cpu")


def test_checkpoint_is_no_model(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "model.ts")
    with pytest.raises(ModelError, match="not a TorchScript model"):
        load_encoder(tmp_path / "model.ts", device="cpu")


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cpu:0"])
def test_unknown_device_is_refused(tiny_ts: Path, device: str) -> None:
    with pytest.raises(DeviceError, match="choose auto, cpu, cuda"):
        load_encoder(tiny_ts, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA works here")
def test_cuda_that_is_not_there_is_an_error(tiny_ts: Path) -> None:
    with pytest.raises(DeviceError, match="`device='cuda:0'` cannot be used"):
        load_encoder(tiny_ts, device="cuda")


@pytest.mark.filterwarnings("error")
def test_auto_says_what_it_took_and_prints_nothing(tiny_ts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert load_encoder(tiny_ts, device="auto").device == device
    assert capfd.readouterr() == ("", "")


def test_without_pytorch_the_extra_is_named(tiny_ts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"tiny\.ts: is a TorchScript model.*\[torchscript\]"):
        load_encoder(tiny_ts, device="cpu")
