"""Attention beside a store: what is written is read, and nothing else is written over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsi_embed.errors import StoreError, StoreMismatchError, UsageError
from wsi_embed.store.attention import Attention, SlideAttention, write_attention

ABOUT = {"model_id": "sha256:a", "method": "dsmil"}


def made(slide_id: str, tiles: int = 5, columns: tuple[str, ...] = ("normal", "tumour")) -> SlideAttention:
    rng = np.random.default_rng(tiles)
    attention = rng.random((tiles, len(columns))).astype(np.float32)
    grid = rng.integers(0, 9, (tiles, 2)).astype(np.int32)
    return SlideAttention(
        slide_id, attention, grid, columns, "normal", "tumour", {"normal": 0.25, "tumour": 0.75}
    )


def test_a_round_trip(tmp_path: Path) -> None:
    slides = [made("a"), made("b%20c", 1), made("empty", 0)]
    write_attention(tmp_path / "attention.zarr", ABOUT, slides)
    for path in (tmp_path, tmp_path / "attention.zarr"):
        found = Attention(path)
        assert list(found) == ["a", "b%20c", "empty"]
        assert found.attrs["method"] == "dsmil"
        for slide in slides:
            again = found[slide.slide_id]
            np.testing.assert_array_equal(again.attention, slide.attention)
            np.testing.assert_array_equal(again.grid, slide.grid)
            assert (again.columns, again.label, again.predicted) == (slide.columns, "normal", "tumour")
            assert again.probabilities == slide.probabilities
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attention.zarr"]


def test_columns() -> None:
    two, one = made("a"), made("a", columns=("all",))
    assert two.column()[0] == "tumour"
    np.testing.assert_array_equal(two.column("normal")[1], two.attention[:, 0])
    assert one.column()[0] == "all"
    with pytest.raises(UsageError, match="no attention for class 'fat': a has it for normal, tumour"):
        two.column("fat")


def test_it_replaces_attention_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "attention.zarr"
    write_attention(path, ABOUT, [made("a"), made("b")])
    write_attention(path, ABOUT, [made("b", 3)])
    assert list(Attention(path)) == ["b"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(StoreMismatchError, match="exists and contains other files"):
        write_attention(tmp_path / "mine", ABOUT, [made("a")])
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_an_interruption_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "attention.zarr"
    write_attention(path, ABOUT, [made("a")])

    def interrupted() -> object:
        yield made("b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_attention(path, ABOUT, interrupted())  # type: ignore[arg-type]
    assert list(Attention(path)) == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["attention.zarr"]


def test_nothing_there_and_something_damaged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no attention there; give the `out=` folder of wsi-embed eval mil"):
        Attention(tmp_path)
    path = tmp_path / "attention.zarr"
    write_attention(path, ABOUT, [made("a")])
    with pytest.raises(KeyError):
        Attention(path)["b"]
    chunk = next(p for p in (path / "a" / "attention" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[3] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match="a: its group in the store is damaged"):
        Attention(path)["a"]
