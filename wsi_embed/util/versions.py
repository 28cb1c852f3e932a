"""Versions of what makes the numbers, to be recorded with them."""

from __future__ import annotations

import importlib.metadata

RECORDED = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "openslide-bin",
    "openslide-python",
    "pillow",
    "simplejpeg",
    "zarr",
)


def versions() -> dict[str, str]:
    """Of wsi-embed and the libraries it computes with; `none` for what is not installed."""
    found = {"wsi-embed": _version("wsi-embed")}
    found |= {name: _version(name) for name in RECORDED}
    if found["onnxruntime"] == "none":
        found["onnxruntime"] = _version("onnxruntime-gpu")
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
