from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.made_models import tiny_tiles
from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed_train import data
from wsi_embed_train.data import STATS_SAMPLE, TileDataset, find_tiles, pixel_statistics, read_tile


def test_folder_at_any_depth(tmp_path: Path) -> None:
    tiny_tiles(tmp_path / "slide_a", 2)
    tiny_tiles(tmp_path / "more" / "deep" / "slide_b", 1)
    (tmp_path / "notes.txt").write_text("no tile")
    (tmp_path / "slide_a" / "tile_00.png").rename(tmp_path / "UPPER.PNG")
    assert find_tiles(tmp_path) == [
        tmp_path / "UPPER.PNG",
        tmp_path / "more" / "deep" / "slide_b" / "tile_00.png",
        tmp_path / "slide_a" / "tile_01.png",
    ]


def test_csv_is_relative_to_itself(tmp_path: Path) -> None:
    tiny_tiles(tmp_path / "tiles", 3)
    listed = tmp_path / "tiles.csv"
    listed.write_text("path,label\ntiles/tile_02.png,x\ntiles/tile_00.png,y\n")
    assert find_tiles(listed) == [tmp_path / "tiles" / "tile_00.png", tmp_path / "tiles" / "tile_02.png"]


def test_csv_with_absolute_paths(tmp_path: Path) -> None:
    tile = tiny_tiles(tmp_path / "elsewhere", 1) / "tile_00.png"
    listed = tmp_path / "tiles.csv"
    listed.write_text(f"path\n{tile}\n")
    assert find_tiles(listed) == [tile]


def test_split_takes_its_rows_only(tmp_path: Path) -> None:
    listed = tmp_path / "tiles.csv"
    listed.write_text("path,split\na.png,train\nb.png,test\nc.png,train\n")
    assert [p.name for p in find_tiles(listed, "train")] == ["a.png", "c.png"]
    assert len(find_tiles(listed)) == 3


@pytest.mark.parametrize(
    ("content", "split", "message"),
    [
        ("file,split\na.png,train\n", "train", "no column 'path'; it has file, split"),
        ("path\na.png\n", "train", "no column 'split'"),
        ("path,split\na.png,test\n", "train", "no tile images found"),
        ("path,split\n", None, "no tile images found"),
        ("", None, "no tile images found"),
    ],
)
def test_csv_errors(tmp_path: Path, content: str, split: str | None, message: str) -> None:
    listed = tmp_path / "tiles.csv"
    listed.write_text(content)
    with pytest.raises(UsageError, match=message):
        find_tiles(listed, split)


def test_source_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tile images found"):
        find_tiles(tmp_path)
    with pytest.raises(UsageError, match="is a folder"):
        find_tiles(tmp_path, "train")
    with pytest.raises(UsageError, match="give a folder of tile images"):
        find_tiles(tmp_path / "missing")
    with pytest.raises(UsageError, match="give a folder of tile images"):
        find_tiles(tmp_path / "missing.csv")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_every_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (4, 4), (102, 102, 102)).convert(mode).save(tmp_path / "tile.png")
    tile = read_tile(tmp_path / "tile.png")
    assert tile.mode == "RGB"
    assert tile.getpixel((0, 0)) == (102, 102, 102)


def test_damaged_image_is_named(tmp_path: Path) -> None:
    good = tiny_tiles(tmp_path, 1) / "tile_00.png"
    good.write_bytes(good.read_bytes()[:60])
    with pytest.raises(WsiEmbedError, match=r"tile_00\.png: not a readable image"):
        read_tile(good)


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(WsiEmbedError, match=r"gone\.png"):
        read_tile(tmp_path / "gone.png")


def test_dataset_hands_each_tile_to_the_transform(tmp_path: Path) -> None:
    tiles = find_tiles(tiny_tiles(tmp_path, 3))

    def sums(image: Image.Image) -> tuple[Tensor, Tensor]:
        return torch.tensor(int(np.asarray(image, np.int64).sum())), torch.tensor(0)

    dataset = TileDataset(tiles, sums)
    assert len(dataset) == 3
    assert [int(dataset[i][0]) for i in range(3)] == [np.asarray(Image.open(p)).sum() for p in tiles]


def test_pixel_statistics_equal_numpys(tmp_path: Path) -> None:
    tiles = find_tiles(tiny_tiles(tmp_path, 6))
    pixels = np.concatenate([np.asarray(Image.open(p)).reshape(-1, 3) for p in tiles]) / 255
    mean, std = pixel_statistics(tiles)
    np.testing.assert_allclose(mean, pixels.mean(0), atol=5.1e-5)
    np.testing.assert_allclose(std, pixels.std(0), atol=5.1e-5)


def test_pixel_statistics_of_uniform_tiles_can_be_divided_by(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    mean, std = pixel_statistics([tmp_path / "white.png"])
    assert mean == (1.0, 1.0, 1.0)
    assert min(std) > 0


def test_pixel_statistics_read_a_bounded_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    read: list[Path] = []

    def counting(path: Path) -> Image.Image:
        read.append(path)
        return read_tile(path)

    monkeypatch.setattr(data, "read_tile", counting)
    assert pixel_statistics([tmp_path / "red.png"] * 10 * STATS_SAMPLE)[0] == (1.0, 0.0, 0.0)
    assert len(read) == STATS_SAMPLE


def test_pixel_statistics_depend_on_the_seed_only(tmp_path: Path) -> None:
    tiles = find_tiles(tiny_tiles(tmp_path, 8)) * 200
    assert pixel_statistics(tiles, 1) == pixel_statistics(tiles, 1)
    assert pixel_statistics(tiles, 1) != pixel_statistics(tiles, 2)
