from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_models import tiny_config, tiny_tiles

pytest.importorskip("torch")


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
