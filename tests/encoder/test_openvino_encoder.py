"""OpenVINO against ONNX Runtime, on the same files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.made_models import tiny_clusters, tiny_features, tiny_onnx
from tests.made_slides import he_pixels
from wsi_embed.encoder import default_model, load_encoder, load_pool
from wsi_embed.encoder.difference import difference
from wsi_embed.errors import DeviceError, MissingExtraError, ModelError
from wsi_embed.slide.sample import tissue_picture

Tiles = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("openvino")


def he_tiles(count: int, px: int) -> Tiles:
    region = he_pixels(px, px * count)
    return np.stack([region[:, at : at + px] for at in range(0, px * count, px)])


def test_a_job_has_one_session_with_all_threads(tiny: Path) -> None:
    with load_pool(tiny, device="openvino", cores=4) as pool:
        assert pool.size == 1


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_computes_what_the_file_says(tiny: Path, tiles: Tiles, batch: int) -> None:
    encoded = load_encoder(tiny, device="openvino").encode(tiles[:batch])
    np.testing.assert_allclose(encoded.features, tiny_features(tiles[:batch]), rtol=1e-5)
    assert encoded.cluster is not None
    assert encoded.cluster.dtype == np.int64
    assert np.array_equal(encoded.cluster, tiny_clusters(tiles[:batch]))


def test_what_came_before_stays_as_it_was(tiny: Path, tiles: Tiles) -> None:
    encoder = load_encoder(tiny, device="openvino")
    first = encoder.encode(tiles[:2])
    kept = first.features.copy()
    encoder.encode(tiles[2:4])
    np.testing.assert_array_equal(first.features, kept)


def test_a_trained_model_in_the_files_precision() -> None:
    exact = load_encoder(default_model(), device="cpu")
    encoder = load_encoder(default_model(), device="openvino")
    assert (encoder.device, encoder.model_id) == ("openvino", exact.model_id)
    tiles = he_tiles(12, encoder.metadata.tile_px)
    found = difference(exact.encode(tiles), encoder.encode(tiles))
    assert found.min_centred_cosine > 0.999  # the file is fp16
    assert found.cluster_agreement == 1.0


def test_bf16_is_another_model() -> None:
    exact = load_encoder(default_model(), device="openvino")
    encoder = load_encoder(default_model(), device="openvino:bf16")
    assert encoder.model_id == f"{exact.model_id}+bf16"
    assert encoder.metadata.precision == "bf16"
    assert encoder.device == "openvino:bf16"
    # real tissue: of made tiles, which hardly differ, processors with bf16 of their own have 0.975
    px, tissue = encoder.metadata.tile_px, tissue_picture()
    tiles = np.stack([tissue[at : at + px, at : at + px] for at in range(0, len(tissue) - px, 24)])
    assert difference(exact.encode(tiles), encoder.encode(tiles)).centred_cosine > 0.99


def test_foreign_file(tmp_path: Path, tiles: Tiles) -> None:
    path = tiny_onnx(tmp_path / "theirs.onnx", metadata=False)
    encoder = load_encoder(path, device="openvino", tile_px=32, mpp=0.5)
    assert encoder.model_id == load_encoder(path, device="cpu", tile_px=32, mpp=0.5).model_id
    encoded = encoder.encode(tiles)
    assert encoded.cluster is None
    np.testing.assert_allclose(encoded.features, tiny_features(tiles), rtol=1e-5)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not a model"):
        load_encoder(tmp_path / "m.onnx", device="openvino")


def test_torchscript_is_refused_with_a_way_out(tiny_ts: Path) -> None:
    for device in ("openvino", "tensorrt"):
        with pytest.raises(DeviceError, match=r"runs ONNX models only; export the model to \.onnx"):
            load_encoder(tiny_ts, device=device)


def test_without_the_package_the_extra_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"\[openvino\]"):
        load_encoder(tiny, device="openvino")


def test_nothing_is_reported_to_anyone(tiny: Path, tmp_path: Path) -> None:
    """The package brings a telemetry client; inference neither uses it nor writes into the home folder."""
    code = """
import socket, sys
import numpy as np
tried = []
socket.socket.connect = lambda *args: tried.append(args)
socket.getaddrinfo = lambda *args, **more: tried.append(args)
from wsi_embed import load_encoder
load_encoder(sys.argv[1], device="openvino").encode(np.zeros((1, 32, 32, 3), np.uint8))
assert not tried, tried
"""
    home = {"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code, tiny], check=True, env=home, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_int8_has_the_features_of_onnx_runtime_but_for_rounding() -> None:
    other, encoder = (load_encoder("default-int8", device=device) for device in ("cpu", "openvino"))
    assert encoder.model_id == f"{other.model_id}+openvino-int8"
    tiles = he_tiles(12, encoder.metadata.tile_px)
    assert 0.99 < difference(other.encode(tiles), encoder.encode(tiles)).centred_cosine < 0.99999


_SIGNALLED = """
import gc, os, signal, sys
from wsi_embed.encoder import load_encoder

heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
first, second = (load_encoder(sys.argv[1], device="openvino") for _ in range(2))
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
assert heard
"""


def test_a_signal_can_be_answered_after_encoders_went(tiny: Path) -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", _SIGNALLED, str(tiny)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
