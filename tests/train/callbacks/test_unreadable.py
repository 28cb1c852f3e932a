from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.made_models import tiny_config, tiny_tiles
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed_train import train


def spoilt(folder: Path, count: int, bad: int) -> Path:
    """Tiles, of which some are cut off."""
    tiny_tiles(folder, count)
    for path in sorted(folder.iterdir())[:bad]:
        path.write_bytes(path.read_bytes()[:-200])
    return folder


def test_few_are_replaced_counted_and_named(tmp_path: Path) -> None:
    train(spoilt(tmp_path / "tiles", 104, 1), tmp_path / "run", tiny_config(epochs=2, batch_size=52))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["unreadable"] == ["tile_00.png"]
    assert summary["steps"] == 4


def test_many_end_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"2 of 20 tiles that were tried cannot be used.*tile_00\.png"):
        train(spoilt(tmp_path / "tiles", 20, 2), tmp_path / "run", tiny_config())
    assert not (tmp_path / "run").exists()


def test_many_that_the_sample_did_not_show_end_the_run_when_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsi_embed_train.data.opening.MOST_BAD", 1.0)
    with pytest.raises(WsiEmbedError, match=r"of 20 tiles cannot be read, more than 1 %: tile_0.\.png"):
        train(spoilt(tmp_path / "tiles", 20, 2), tmp_path / "run", tiny_config(epochs=3))
