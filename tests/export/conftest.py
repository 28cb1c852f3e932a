from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_models import tiny_config, tiny_tiles

pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="session")
def _operators_are_read_once() -> Iterator[None]:
    """PyTorch reads the definitions of all operators of ONNX at every export, which takes a second."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib))
        )
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after one epoch; do not write into it."""
    from wsi_embed_train import train

    folder = tmp_path_factory.mktemp("trained")
    train(tiny_tiles(folder / "tiles"), folder / "run", tiny_config(epochs=1, mpp=0.5))
    return folder / "run"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of CluBYOL with 10 clusters as the CluSiam repository writes it."""
    from tests.export.test_sources import published

    return published(tmp_path_factory.mktemp("published"), "clubyol", 10)[0]


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run as `fp32.onnx`, `fp16.onnx`, `fp32.ts` and `fp16.ts`."""
    from wsi_embed_export import export

    folder = tmp_path_factory.mktemp("exported")
    files = {
        f"{precision}{suffix}": precision for suffix in (".onnx", ".ts") for precision in ("fp32", "fp16")
    }
    for name, precision in files.items():
        export(run, folder / name, precision=precision, name="tiny", licence="CC0-1.0")
    return {name: folder / name for name in files}


@pytest.fixture(scope="session")
def exported_further(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run with its further outputs, as `.ts` and `.onnx`."""
    from wsi_embed_export import export

    folder = tmp_path_factory.mktemp("further")
    files = {suffix: folder / f"model{suffix}" for suffix in (".ts", ".onnx")}
    for path in files.values():
        export(run, path, outputs=["cluster_logits", "projection"])
    return files
