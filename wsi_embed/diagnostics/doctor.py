"""Checks of an installation, for the command `doctor`. Each reports its finding and, if needed, a remedy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from wsi_embed.encoder.cuda import cuda_driver
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.extras import install_command
from wsi_embed.util.registry import Registry, selection

Status = Literal["ok", "warning", "problem"]
LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "openslide-python",
    "openslide-bin",
    "simplejpeg",
    "zarr",
    "pillow",
)
EXTRAS = {
    "train": "lightning",
    "export": "onnxscript",
    "torchscript": "torch",
    "mil": "torchmil",
    "cloud": "obstore",
    "convert": "anndata",
    "formats": "fastslide",
    "spatialdata": "spatialdata",
    "parquet": "pyarrow",
    "openvino": "openvino",
}
DISK_LOW = 10 * 10**9


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: Name of the check.
        status: `ok`, `warning` (works with limitations) or `problem` (something will fail).
        message: Finding of the check.
        fix: Remedy; None if there is nothing to do.
    """

    name: str
    status: Status
    message: str
    fix: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return asdict(self)


def diagnose(folder: Path | None = None) -> list[Check]:
    """Run all checks. None of them raises an exception.

    Args:
        folder: Folder in which stores will be written; the current folder by default.

    Example:
        >>> from wsi_embed.diagnostics.doctor import diagnose
        >>> [check.name for check in diagnose()][:3]  # doctest: +SKIP
        ['python', 'libraries', 'extras']
    """
    checks: list[Callable[[], Check]] = [
        _python,
        _libraries,
        _extras,
        _packages,
        _openslide,
        _onnxruntime,
        _gpu,
        _model,
        lambda: _disk(folder or Path()),
        _cores,
    ]
    return [_run(check) for check in checks]


def _run(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # a check that fails is reported as a problem
        name = check.__name__.strip("_<>")
        return Check(name, "problem", f"{type(error).__name__}: {error}", "reinstall wsi-embed")


def _python() -> Check:
    text = f"wsi-embed {_version('wsi-embed')}, Python {platform.python_version()}, {platform.platform()}"
    return Check("python", "ok", text)


def _libraries() -> Check:
    versions = {name: _version(name) for name in LIBRARIES}
    missing = [name for name, version in versions.items() if version == "none"]
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if missing:
        return Check("libraries", "warning", text, f"pip install {' '.join(missing)}")
    return Check("libraries", "ok", text)


def _extras() -> Check:
    there = [
        f"{extra} ({name} {_version(name)})" for extra, name in EXTRAS.items() if _version(name) != "none"
    ]
    return Check("extras", "ok", ", ".join(there) or "none installed: the runtime alone")


def _packages() -> Check:
    """Import the readers and formats that other packages add."""
    from wsi_embed.convert.registry import FORMATS
    from wsi_embed.slide.readers import READERS
    from wsi_embed.slide.suffixes import SUFFIXES

    registries: list[Registry[Any]] = [READERS, SUFFIXES, FORMATS]
    added = [(kinds, name) for kinds in registries for name in kinds if kinds.version_of(name)]
    found, faults = [], []
    for kinds, name in added:
        try:
            kinds.check(name)
        except UsageError as error:
            faults.append(str(error))
            continue
        found += [
            f"{selection(kinds.option, name)} ({' '.join(of)})" for of in kinds.version_of(name).items()
        ]
    if faults:
        return Check("packages", "problem", "; ".join(faults), "update or uninstall what is named")
    return Check("packages", "ok", ", ".join(found) or "no other package adds readers or formats")


def _openslide() -> Check:
    import openslide

    version = openslide.__library_version__
    if int(version.split(".")[0]) < 4:
        return Check(
            "openslide", "warning", f"library {version}", "pip install --upgrade openslide-bin (4 or newer)"
        )
    return Check("openslide", "ok", f"library {version}")


def _onnxruntime() -> Check:
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name) != "none"]
    if len(both) == 2:
        return Check(
            "onnxruntime",
            "problem",
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
        )
    import onnxruntime

    providers = ", ".join(onnxruntime.get_available_providers())
    return Check(
        "onnxruntime", "ok", f"{both[0] if both else 'onnxruntime'} {onnxruntime.__version__}: {providers}"
    )


def _gpu() -> Check:
    driver, devices = cuda_driver()
    if driver is None:
        return Check("gpu", "ok", "no NVIDIA driver: everything runs on the CPU")
    text = f"driver for CUDA {driver[0]}.{driver[1]}, {devices} device{'s' * (devices != 1)}"
    wanted = _wanted_cuda()
    if wanted is None:
        fix = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu, or the image for CUDA"
        return Check("gpu", "warning", f"{text}, but this onnxruntime is for the CPU only", fix)
    if driver[0] < wanted[0]:
        fix = f"update the driver, or install an onnxruntime-gpu that was built for CUDA {driver[0]}"
        return Check("gpu", "problem", f"{text}; onnxruntime wants CUDA {wanted[0]}.{wanted[1]}", fix)
    if devices == 0:
        return Check("gpu", "warning", text, "is CUDA_VISIBLE_DEVICES empty, or the container without GPUs?")
    return _gpu_runs(text)


def _gpu_runs(text: str) -> Check:
    from wsi_embed.encoder import load_encoder

    try:
        load_encoder(device="cuda")
    except WsiEmbedError as error:
        fix = f"{install_command('cuda')} brings the CUDA and cuDNN libraries"
        return Check("gpu", "problem", f"{text}, but a model does not run on it ({error})", fix)
    return Check("gpu", "ok", f"{text}; the demonstration model runs on it")


def _wanted_cuda() -> tuple[int, int] | None:
    from onnxruntime.capi import build_and_package_info

    text = getattr(build_and_package_info, "cuda_version", "") or ""
    parts = text.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 else None


def _model() -> Check:
    from wsi_embed.encoder import load_encoder

    encoder = load_encoder(device="cpu")  # encodes a tile and checks the result
    return Check("model", "ok", f"{encoder.metadata.name} runs on the CPU")


def _disk(folder: Path) -> Check:
    # a folder that does not exist yet will be created in the nearest one that does
    folder = next(part for part in (folder.absolute(), *folder.absolute().parents) if part.exists())
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / 1e9:.0f} of {usage.total / 1e9:.0f} GB free where stores would be written"
    if not os.access(folder, os.W_OK):
        return Check("disk", "problem", "the folder cannot be written", "choose another folder for `out=`")
    if usage.free < DISK_LOW:
        return Check("disk", "warning", text, "10,000 tiles of 512 numbers take 10 MB; free some space")
    return Check("disk", "ok", text)


def _cores() -> Check:
    usable, there = cpu_count(), os.cpu_count() or 1
    text = f"{usable} of {there} cores may be used"
    if usable < there:
        return Check("cores", "ok", f"{text} (a scheduler's or container's limit)")
    return Check("cores", "ok", text)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
