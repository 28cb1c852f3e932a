from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import wsi_embed
from wsi_embed.convert.registry import FORMATS, SOURCES


def loaded_by(*modules: str) -> set[str]:
    """Top-level modules that a fresh Python has after importing these."""
    code = "import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)\nprint(*sys.modules)"
    command = [sys.executable, "-c", code, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_runtime_does_without_pytorch_and_training() -> None:
    loaded = loaded_by(
        "wsi_embed",
        "wsi_embed.features.embed",
        "wsi_embed.jobs.runner",
        "wsi_embed.tiles.tile",
        "wsi_embed.tiles",
        "wsi_embed.encoder.onnx_encoder",
        "wsi_embed.bags.dataset",
        "wsi_embed.bags.labels",
        "wsi_embed.storage.remote_folder",
        *(place.partition(":")[0] for kinds in (FORMATS, SOURCES) for place in kinds.places.values()),
    )
    assert {"onnxruntime", "zarr"} <= loaded
    assert not loaded & {"h5py", "anndata", "pandas", "torchmil", "scipy", "spatialdata", "obstore", "boto3"}
    assert not loaded & {"torch", "torchvision", "lightning", "onnx", "wsi_embed_train", "wsi_embed_export"}


def test_processes_that_decode_training_tiles_do_without_networks_and_lightning() -> None:
    pytest.importorskip("torch")
    loaded = loaded_by("wsi_embed_train.data")
    assert {"torch", "openslide"} <= loaded
    assert not loaded & {"lightning", "torchvision", "sklearn", "onnxruntime", "zarr"}


def test_clusters_and_slide_descriptors_are_evaluated_without_pytorch() -> None:
    pytest.importorskip("sklearn")
    parts = ("clusters", "mil.run", "mil.linear", "mil.output")
    assert "torch" not in loaded_by(*(f"wsi_embed.evaluate.{part}" for part in parts))


def test_importing_the_package_alone_is_instant() -> None:
    assert not loaded_by("wsi_embed") & {
        "numpy",
        "zarr",
        "onnxruntime",
        "cv2",
        "openslide",
        "typer",
        "rich",
        "starlette",
    }


@pytest.mark.parametrize("name", [n for n in wsi_embed.__all__ if n != "__version__"])
def test_public_name_is_there_and_documented(name: str) -> None:
    assert (getattr(wsi_embed, name).__doc__ or "").strip()
    assert name in dir(wsi_embed)


def test_public_errors_are_documented_with_their_base() -> None:
    page = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE))
    public = [getattr(wsi_embed, name) for name in wsi_embed.__all__ if name != "__version__"]
    errors = [kind for kind in public if isinstance(kind, type) and issubclass(kind, wsi_embed.WsiEmbedError)]
    assert documented == {
        (e.__name__, e.__mro__[1].__name__) for e in errors if e is not wsi_embed.WsiEmbedError
    }


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'embedd'"):
        _ = wsi_embed.embedd
