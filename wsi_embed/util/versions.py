"""Versions of the libraries that affect results, recorded with them."""

from __future__ import annotations

import functools
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
    """Return the versions of wsi-embed and of the libraries it computes with; `none` if not installed."""
    found = {"wsi-embed": _version("wsi-embed")}
    found |= {name: _version(name) for name in RECORDED}
    if found["onnxruntime"] == "none":
        found["onnxruntime"] = _version("onnxruntime-gpu")
    return found


def version_of(name: str) -> str:
    """Return the version of an installed package; `none` if it is not installed."""
    return _version(name)


@functools.cache  # reading a package's metadata takes ten milliseconds
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
