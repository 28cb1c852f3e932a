"""Slides of some formats from folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed.errors import UsageError
from wsi_embed.inputs.slides import find_slides


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.svs", "b.SVS", "c.png", "d.ome.tif", "deep/e.tif", "f.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("ext", "expected"),
    [
        ((), {"a.svs", "b.SVS", "c.png", "d.ome.tif", "e.tif", "f.jpg"}),
        ("svs", {"a.svs", "b.SVS"}),
        ("svs,tif", {"a.svs", "b.SVS", "d.ome.tif", "e.tif"}),
        (["svs", ".ome.tif"], {"a.svs", "b.SVS", "d.ome.tif"}),
        (["*.svs, PNG"], {"a.svs", "b.SVS", "c.png"}),
    ],
)
def test_suffixes_select_files_of_a_folder(ext: str | list[str], expected: set[str], folder: Path) -> None:
    assert {item.path.name for item in find_slides([folder], ext=ext)} == expected


def test_files_that_are_given_are_taken_in_any_case(folder: Path) -> None:
    found = find_slides([folder / "c.png", folder], ext="svs")
    assert {item.path.name for item in found} == {"a.svs", "b.SVS", "c.png"}


def test_a_suffix_without_files_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="no slides that end in"):
        find_slides([folder], ext="mrxs")
