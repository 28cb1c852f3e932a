"""Examples in docstrings run, in a folder with slides, a model, a store and labelled tiles."""

from __future__ import annotations

import doctest
import importlib
import inspect
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import wsi_embed
from tests.made_models import tiny_onnx, tiny_tiles
from tests.made_slides import he_pixels, write_tiff

ROOT = Path(__file__).parents[1]
SOURCES = ("wsi_embed", "train/wsi_embed_train", "export/wsi_embed_export")
# Packages whose public functions all have an example.
PUBLIC = (
    "wsi_embed",
    "wsi_embed.clustering",
    "wsi_embed.convert",
    "wsi_embed.evaluate",
    "wsi_embed.plot",
    "wsi_embed_train",
    "wsi_embed_export",
)
EXTRAS = {
    "wsi_embed_train": "lightning",
    "wsi_embed_export": "onnxscript",
    "wsi_embed.evaluate": "sklearn",
    "wsi_embed.bags.dataset": "torch",
    "wsi_embed.store.reader": "torch",
    "wsi_embed.clustering": "sklearn",
    "wsi_embed.convert.incoming": "h5py",
    "wsi_embed.viewer": "starlette",
}


def modules_with_examples() -> list[str]:
    """Return the names of the modules that have an example."""
    files = [(ROOT / source, path) for source in SOURCES for path in (ROOT / source).rglob("*.py")]
    names = [
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for package, path in files
        if ">>> " in path.read_text("utf-8")
    ]
    return sorted(name.removesuffix(".__init__") for name in names)


def load(name: str) -> ModuleType:
    """Import a module, or skip the test if an extra is not installed."""
    for package, library in EXTRAS.items():
        if name.startswith(package):
            pytest.importorskip(library)
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which examples run.

    It has `slides/` (`a.tiff` and `b.tiff`), `model.onnx`, their store `feats.zarr`, a store `cohort.zarr` of
    six slides (`a` to `f`), and the labelled tile images of `tiles.csv` in `images/`.
    """
    folder = tmp_path_factory.mktemp("examples")
    tiny_onnx(folder / "model.onnx")
    for name, store, slides in (("slides", "feats.zarr", "ab"), ("cohort", "cohort.zarr", "abcdef")):
        (folder / name).mkdir()
        for seed, slide in enumerate(slides):
            write_tiff(folder / name / f"{slide}.tiff", he_pixels(320, 384, seed=seed), mpp=0.5)
        wsi_embed.embed(folder / name, folder / store, model=folder / "model.onnx", device="cpu")
    tiny_tiles(folder / "images", count=6)
    rows = [f"images/tile_{n:02}.png,{'ab'[n % 2]},{'train' if n < 4 else 'test'}\n" for n in range(6)]
    (folder / "tiles.csv").write_text("path,label,split\n" + "".join(rows), "utf-8")
    return folder


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(name)
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "work"))
    # the examples of the package itself do not import it
    found = doctest.DocTestFinder().find(module, extraglobs={"wsi_embed": wsi_embed})
    found = [test for test in found if test.examples]
    assert found
    runner, report = doctest.DocTestRunner(verbose=False), list[str]()
    for test in found:
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_function_has_an_example(package: str) -> None:
    module = load(package)
    functions = [value for name in module.__all__ if inspect.isfunction(value := getattr(module, name))]
    assert functions
    assert [function.__name__ for function in functions if ">>> " not in (function.__doc__ or "")] == []


def test_a_wrong_example_is_found() -> None:
    wrong = ModuleType("wrong")
    wrong.__doc__ = ">>> 1 + 1\n3\n"
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder().find(wrong):
        runner.run(test, out=lambda text: None)
    assert runner.summarize(verbose=False).failed == 1
