"""Kept buffers give what a plain run gives, at changing batch sizes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from wsi_embed.encoder.device import Device, parse_device, parse_devices
from wsi_embed.encoder.onnx_buffers import BoundSession, pinned
from wsi_embed.encoder.onnx_session import cache_folder, gpu_providers
from wsi_embed.errors import DeviceError

NAMES = ["features", "cluster", "cluster_confidence"]


def test_outputs_are_those_of_a_plain_run(tiny: Path) -> None:
    session = ort.InferenceSession(str(tiny), providers=["CPUExecutionProvider"])
    bound = BoundSession(session, "cpu")
    rng, kept = np.random.default_rng(0), []
    for size in (1, 4, 4, 3, 4, 8, 8, 2, 8):  # full, smaller, larger
        tiles = rng.integers(0, 256, (size, 32, 32, 3), np.uint8)
        expected = session.run(NAMES, {"tiles": tiles})
        found = bound.run(NAMES, tiles)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        kept.append((found[0], expected[0]))
    for ours, theirs in kept:  # later batches did not write into earlier ones
        np.testing.assert_array_equal(ours, theirs)


def test_other_outputs_may_be_asked_for(tiny: Path) -> None:
    session = ort.InferenceSession(str(tiny), providers=["CPUExecutionProvider"])
    bound = BoundSession(session, "cpu")
    tiles = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert len(bound.run(NAMES, tiles)) == 3
    (cluster,) = bound.run(["cluster"], tiles)
    np.testing.assert_array_equal(cluster, session.run(["cluster"], {"tiles": tiles})[0])


def test_views_are_taken_as_they_look(tiny: Path) -> None:
    session = ort.InferenceSession(str(tiny), providers=["CPUExecutionProvider"])
    tiles = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), np.uint8)[::-1, :, ::-1]
    bound = BoundSession(session, "cpu")
    for _ in range(2):
        expected = session.run(["features"], {"tiles": np.ascontiguousarray(tiles)})[0]
        np.testing.assert_array_equal(bound.run(["features"], tiles)[0], expected)


def test_memory_to_copy_from_is_writable_wherever_it_comes_from() -> None:
    array = pinned((2, 4, 4, 3))
    array[:] = 7
    assert array.dtype == np.uint8
    assert (array.shape, int(array.sum())) == ((2, 4, 4, 3), 7 * 96)


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", Device("auto")),
        ("cuda", Device("cuda")),
        ("cuda:3", Device("cuda", 3)),
        ("tensorrt:1", Device("tensorrt", 1)),
        ("openvino", Device("openvino")),
        ("openvino:bf16", Device("openvino", bf16=True)),
    ],
)
def test_devices_by_name(text: str, device: Device) -> None:
    assert parse_device(text) == device


@pytest.mark.parametrize(
    "text", ["gpu", "cuda:", "cuda:x", "openvino:fp16", "auto:1", "tensorrt:-1", "cuda:1\n"]
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="choose auto, cpu"):
        parse_device(text)


def test_several_gpus_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_devices("cuda:0,3") == [Device("cuda", 0), Device("cuda", 3)]
    assert parse_devices("tensorrt:1,0") == [Device("tensorrt", 1), Device("tensorrt", 0)]
    assert parse_devices("openvino") == [Device("openvino")]
    monkeypatch.setattr("wsi_embed.encoder.device.cuda_driver", lambda: ((13, 0), 2))
    assert parse_devices("cuda:all") == [Device("cuda", 0), Device("cuda", 1)]
    monkeypatch.setattr("wsi_embed.encoder.device.cuda_driver", lambda: (None, 0))
    for text, why in (
        ("cuda:all", "no GPU"), ("cuda:1,1", "named twice"), ("cpu:0,1", "choose"), ("cuda:0,", "choose"),
    ):  # fmt: skip
        with pytest.raises(DeviceError, match=why):
            parse_devices(text)


def test_threads_have_buffers_of_their_own(tiny: Path) -> None:
    session = ort.InferenceSession(str(tiny), providers=["CPUExecutionProvider"])
    bound = BoundSession(session, "cpu")

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for size in (6, 6, 6, 2, 6, 6, 8, 8, 6):
            tiles = rng.integers(0, 256, (size, 32, 32, 3), np.uint8)
            for ours, theirs in zip(
                bound.run(NAMES, tiles), session.run(NAMES, {"tiles": tiles}), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


def test_the_file_decides_the_precision() -> None:
    (_, cuda), cpu = gpu_providers(Device("cuda", 2), "fp32", graphs=True)
    assert (cuda["use_tf32"], cuda["device_id"], cpu) == ("0", "2", "CPUExecutionProvider")
    for precision, fp16, int8 in (("fp32", "0", "0"), ("fp16", "1", "0"), ("int8", "0", "1")):
        (name, tensorrt), *_ = gpu_providers(Device("tensorrt"), precision, graphs=False)
        assert name == "TensorrtExecutionProvider"
        assert (tensorrt["trt_fp16_enable"], tensorrt["trt_int8_enable"]) == (fp16, int8)


def test_engines_are_kept_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (_, tensorrt), *_ = gpu_providers(Device("tensorrt"), "fp16", graphs=True)
    assert tensorrt["trt_engine_cache_path"] == str(cache_folder() / "tensorrt")
    assert (tmp_path / "wsi-embed" / "tensorrt").is_dir()
