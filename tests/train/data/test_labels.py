from __future__ import annotations

from pathlib import Path

import pytest

from wsi_embed.errors import UsageError
from wsi_embed_train.data.labels import class_names, tile_labels
from wsi_embed_train.data.sources import Source, find_source


def made(folder: Path, text: str, split: str | None = None) -> Source:
    path = folder / "tiles.csv"
    path.write_text(text)
    return find_source(path, split)


def test_labels_follow_the_order_of_the_tiles(tmp_path: Path) -> None:
    text = "path,label,split\ns.svs,grey,a\nb.png,tumour,a\na.png,normal,a\nd.png,other,b\nc.png, tumour,a\n"
    source = made(tmp_path, text, "a")
    names = class_names(source)
    assert names == ["grey", "normal", "tumour"]  # only those of the split
    labels = tile_labels(source, names, [("s", 2)])
    assert [names[label] for label in labels] == ["normal", "tumour", "tumour", "grey", "grey"]
    assert labels.dtype == "int64"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class\na.png,1\n", "tiles.csv: no column 'label'; it has path, class"),
        ("path,label\na.png,x\nb.png, \n", "tiles.csv: b.png has no label"),
        ("path,label\na.png,x\nb.svs\n", "tiles.csv: b has no label"),
        ("path,label\na.png,x\nb.png,x\n", "all tiles have the label 'x'"),
        ("path,label\na.png,x\na.png,y\n", "a.png is listed twice, with different labels"),
    ],
)
def test_labels_that_are_missing(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        class_names(made(tmp_path, text))


def test_a_folder_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(UsageError, match="needs a CSV with columns `path` and `label`"):
        class_names(find_source(tmp_path))
