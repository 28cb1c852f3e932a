from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed_train.labelled import LabelledTiles, read_labelled, tile_features


class Corner(nn.Module):
    """Features that can be told beforehand: the first pixel; and a batch norm that must not run."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        corner: torch.Tensor = self.norm(images)[:, :, 0, 0]
        return corner


def colours(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (40, 40), (number, 2 * number, 255)).save(folder / f"{number:03}.png")
    return sorted(folder.iterdir())


def test_features_are_of_each_tile_in_order(tmp_path: Path) -> None:
    paths = colours(tmp_path / "tiles", 300 % 120)
    backbone = Corner().train()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    tiles = LabelledTiles(paths, ["x"] * len(paths))
    found = tile_features(backbone, tiles, mean, std, 32, torch.device("cpu"))
    expected = [[n / 255, 2 * n / 255, 1.0] for n in range(len(paths))]
    assert np.allclose(found, (np.array(expected) - mean) / std / np.sqrt(1 + 1e-5), atol=1e-5)
    assert backbone.training
    assert int(backbone.norm.num_batches_tracked or 0) == 0


def test_a_csv_is_read(tmp_path: Path) -> None:
    paths = colours(tmp_path / "tiles", 3)
    rows = [
        f"tiles/{p.name},{label},{split}"
        for p, label, split in zip(paths, "aba", ["train", "train", "test"], strict=True)
    ]
    (tmp_path / "t.csv").write_text("path,label,split\n" + "\n".join(rows))
    found = read_labelled(tmp_path / "t.csv")
    assert (found.train.labels, found.test.labels) == (["a", "b"], ["a"])
    assert found.test.paths == [paths[2]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column 'path', which `knn=` needs; it has none"),
        ("path,label\nx.png,a", "no column 'split'"),
        ("path,label,split\nx.png,a,train", "no tile has the split 'test'"),
        ("path,label,split\ny.png,a,train\nx.png,a,test", "y.png is not there"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.png").touch()
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=says):
        read_labelled(tmp_path / "t.csv")


def test_a_tile_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(WsiEmbedError, match=r"bad\.png"):
        tile_features(
            Corner(),
            LabelledTiles([tmp_path / "bad.png"], ["a"]),
            (0,) * 3,
            (1,) * 3,
            32,
            torch.device("cpu"),
        )
