"""How the package treats other libraries: nothing changes on import, and private names are few."""

from __future__ import annotations

import ast
import ctypes
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FILES = [file for part in ("wsi_embed", "train", "export") for file in sorted((ROOT / part).rglob("*.py"))]

# Statements at module level that change the process, with the reasons beside them in the code.
EFFECTS = {
    ("wsi_embed/__init__.py", "os.environ.setdefault"),
    ("wsi_embed/__init__.py", "sys.modules"),
}
# Private names of other libraries, for which there is no public one; and what stops working without them.
PRIVATE = {
    ("wsi_embed/slide/openslide/slide.py", "lowlevel._read_region"): "slides are read three times as slowly",
    (
        "wsi_embed/slide/openslide/trial.py",
        "lowlevel._lib",
    ): "the trial opening does not find the library",
    ("wsi_embed/slide/openslide/trial.py", "lowlevel._lib._name"): "as above",
    ("wsi_embed/slide/openslide/slide.py", "osr._osr"): "OpenSlide's C functions have no slide to work on",
    (
        "wsi_embed/slide/colour/check.py",
        "slide._read",
    ): "our own: checking the level would check colours again",
    ("wsi_embed/cli/dead_threads.py", "os._exit"): "documented: a thread cannot end the process otherwise",
    ("wsi_embed/jobs/engines/ray/cluster.py", "ray._private"): "Ray prints lines of its own amid ours",
    ("wsi_embed/jobs/engines/ray/cluster.py", "output._worker_logs_enabled"): "as above",
    (
        "export/wsi_embed_export/activations.py",
        "torch.utils._python_dispatch.TorchDispatchMode",
    ): "the memory of a batch is not known before it is computed",
    (
        "export/wsi_embed_export/write.py",
        "torch._C",
    ): "TorchScript files keep the paths of the exporter's source",
}


def root(node: ast.expr) -> str:
    """Return the first name of `a.b[c].d()`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def foreign_names(tree: ast.Module) -> set[str]:
    """Return the names that imports of other libraries bind anywhere in a module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names if "wsi_embed" not in a.name}
        elif isinstance(node, ast.ImportFrom) and "wsi_embed" not in (node.module or "wsi_embed"):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the simple statements that run when a module is imported: those within no function."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            inner = [getattr(node, part, []) for part in ("body", "orelse", "finalbody")]
            inner += [handler.body for handler in getattr(node, "handlers", [])]
            for part in inner:
                yield from run_on_import(part)


def effects(source: str) -> list[str]:
    """Return what is called or set of other libraries on import, apart from values that get a name."""
    tree = ast.parse(source)
    foreign, found = foreign_names(tree), []
    for node in run_on_import(tree.body):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            targets = [node.value.func]
        elif isinstance(node, ast.Assign):
            targets = [t for t in node.targets if isinstance(t, ast.Attribute | ast.Subscript)]
        elif isinstance(node, ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
        found += [ast.unparse(t).partition("[")[0] for t in targets if root(t) in foreign]
    return found


def private_names(source: str) -> list[str]:
    """Return private attributes of anything but `self` and `cls`, and private names that are imported."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and root(node.value) not in ("self", "cls"):
            found += [ast.unparse(node)] if is_private(node.attr) else []
        elif isinstance(node, ast.ImportFrom) and "wsi_embed" not in (node.module or "wsi_embed"):
            names = [f"{node.module}.{alias.name}" for alias in node.names if node.module != "__future__"]
            found += [name for name in names if any(map(is_private, name.split(".")))]
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_importing_changes_nothing_of_the_process() -> None:
    found = {
        (str(file.relative_to(ROOT)), effect) for file in FILES for effect in effects(file.read_text("utf-8"))
    }
    assert found == EFFECTS


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import cv2\ncv2.setNumThreads(1)", ["cv2.setNumThreads"]),
        ("import os\nos.environ['A'] = '1'", ["os.environ"]),
        ("import os\nif True:\n    del os.environ['A']", ["os.environ"]),
        (
            "from warnings import simplefilter\ntry:\n    simplefilter('ignore')\nfinally: pass",
            ["simplefilter"],
        ),
        ("import zarr\nclass A:\n    zarr.config.set({})", ["zarr.config.set"]),
        ("import cv2\ndef f():\n    cv2.setNumThreads(1)", []),
        ("import re\nPATTERN = re.compile('a')", []),
        ("from wsi_embed.cli import app\napp.command()", []),
    ],
)
def test_effects_are_found(source: str, found: list[str]) -> None:
    assert effects(source) == found


def test_no_other_private_names_are_used() -> None:
    found = {
        (str(file.relative_to(ROOT)), name)
        for file in FILES
        for name in private_names(file.read_text("utf-8"))
    }
    assert (
        found - {("wsi_embed/cli/signals.py", "os._exit")} == PRIVATE.keys()
    )  # documented, in spite of its name


def test_private_names_are_found() -> None:
    assert private_names("import a\na.b._c(1)\nself._d.e\na.__version__") == ["a.b._c"]
    assert private_names("from a._b import c\nfrom a import _d, e") == ["a._b.c", "a._d"]


def test_openslide_still_has_its_private_names(made_slide: Path) -> None:
    import openslide
    from openslide import lowlevel

    with openslide.OpenSlide(made_slide) as slide:
        pixels = np.zeros((3, 5), np.uint32)
        pointer = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
        lowlevel._read_region(slide._osr, pointer, 40, 60, 0, 5, 3)
        public = np.asarray(slide.read_region((40, 60), 0, (5, 3)))[..., :3]
    np.testing.assert_array_equal(pixels.astype("<u4").view(np.uint8).reshape(3, 5, 4)[..., 2::-1], public)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ray._private.worker", "_worker_logs_enabled"),
        ("torch.utils._python_dispatch", "TorchDispatchMode"),
        ("torch._C", "PyTorchFileReader"),
        ("torch._C", "PyTorchFileWriter"),
    ],
)
def test_other_libraries_still_have_their_private_names(module: str, name: str) -> None:
    pytest.importorskip(module.partition(".")[0])
    assert hasattr(importlib.import_module(module), name)
