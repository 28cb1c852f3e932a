from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed.errors import UsageError
from wsi_embed_train.data import find_tiles
from wsi_embed_train.labels import LabelledTiles, read_labels


def made(folder: Path, text: str) -> Path:
    path = folder / "tiles.csv"
    path.write_text(text)
    return path


def test_labels_follow_the_order_of_the_tiles(tmp_path: Path) -> None:
    source = made(
        tmp_path, "path,label,split\nb.png,tumour,a\na.png,normal,a\nd.png,other,b\nc.png,tumour,a\n"
    )
    tiles = find_tiles(source, "a")
    assert [t.name for t in tiles] == ["a.png", "b.png", "c.png"]
    labels, names = read_labels(source, tiles)
    assert [names[label] for label in labels] == ["normal", "tumour", "tumour"]
    assert names == ["normal", "tumour"]  # only those of the split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class\na.png,1\n", "tiles.csv: no column 'label'; it has path, class"),
        ("path,label\na.png,x\nb.png, \n", "tiles.csv: b.png has no label"),
        ("path,label\na.png,x\nb.png,x\n", "all tiles have the label 'x'"),
    ],
)
def test_labels_that_are_missing(tmp_path: Path, text: str, message: str) -> None:
    source = made(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        read_labels(source, find_tiles(source))


def test_a_folder_has_no_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a CSV with columns `path` and `label`"):
        read_labels(tmp_path, [])


def test_samples_come_with_their_class() -> None:
    data = LabelledTiles(["x", "y"], [1, 0])  # type: ignore[arg-type]
    assert len(data) == 2
    assert [data[0], data[1]] == [("x", 1), ("y", 0)]
