"""A small layout, and stores to read and to damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.store import StoreSettings, layout


@pytest.fixture
def small_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 bytes and shards of up to 192: few tiles fill several of both."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 64)
    monkeypatch.setattr(layout, "SHARD_BYTES", 192)


@pytest.fixture
def settings() -> StoreSettings:
    return make_settings()


@pytest.fixture
def store_path(tmp_path: Path, settings: StoreSettings, small_layout: None) -> Path:
    """A store of a bag of 37 tiles, in two shards, and an empty one."""
    store = open_writer(tmp_path / "feats.zarr", settings)
    write_slide(store, "a", make_encoded(37, settings), attributes={"patient": "p1"})
    write_slide(store, "empty", make_encoded(0, settings))
    return tmp_path / "feats.zarr"
