from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_models import tiny_config, tiny_tiles

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tensors are tiny: threads only get into each other's way, and into that of the other test process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # of trainings in processes of their own
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tiles(tmp_path_factory.mktemp("data") / "tiles")


@pytest.fixture(scope="session")
def finished_run(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after three undisturbed epochs; do not write into it."""
    from wsi_embed_train import train

    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    train(tiles, run, tiny_config(epochs=3))
    return run
