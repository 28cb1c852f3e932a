from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.made_models import tiny_config, tiny_tiles
from tests.made_slides import he_pixels, write_svs
from tests.train.data.made import place_slide, slide_config
from wsi_embed.errors import UsageError
from wsi_embed_train.data import UNSHIFTED, open_tiles, opening
from wsi_embed_train.data.statistics import STATS_SAMPLE


def test_about_a_csv_of_slides_and_images(tmp_path: Path) -> None:
    tiny_tiles(tmp_path / "t", 3)
    place_slide(tmp_path / "s.tif", 100, 100)
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    (tmp_path / "all.csv").write_text(
        "path,label,split,mpp,slide_id\nt/tile_00.png,x,a,0.5,P\nt/tile_01.png,y,a,0.25,P\n"
        "t/tile_02.png,y,b,,\ns.tif,x,a,,S\nbroken.svs,y,a,,\n"
    )
    config = slide_config(tissue="none")
    done: list[tuple[int, int]] = []
    tiles = open_tiles(
        tmp_path / "all.csv", config, split="a", labelled=True, on_progress=lambda *n: done.append(n)
    )
    about = json.loads(json.dumps(tiles.about()))
    assert str(tmp_path) not in json.dumps(about)
    skipped = about.pop("skipped_slides")
    assert [s["slide"] for s in skipped] == ["broken.svs"]
    assert skipped[0]["reason"].startswith("broken.svs: not a slide")
    mean, std = about.pop("mean"), about.pop("std")
    assert len(about.pop("image_digests")) == 2
    assert about == {
        "source": "all.csv", "split": "a", "tiles": 2 + 9, "images": 2, "slide_tiles": 9,
        "image_mpp": [0.25, 0.5], "classes": ["x", "y"], "slide_ids": ["P", "S"],
    }  # fmt: skip
    assert done == [(1, 2), (2, 2)]
    assert [text.split(":")[0] for text in tiles.warnings] == ["slide left out", "all.csv"]
    assert "tile images at 0.25 um per pixel" in tiles.warnings[1]
    samples = tiles.__getitems__([(n, UNSHIFTED) for n in range(len(tiles))])
    assert [sample.label for sample in samples] == [0, 1] + [0] * 9
    pixels = np.stack([sample.tile for sample in samples]).reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, pixels.mean(0), atol=5.1e-5)
    np.testing.assert_allclose(std, pixels.std(0), atol=5.1e-5)
    assert "classes" not in open_tiles(tmp_path / "all.csv", config).about()


def test_a_bounded_sample_is_read(tmp_path: Path) -> None:
    """More than 512 tiles, of which those beyond the sample may be anything."""
    Image.new("RGB", (32, 32), (255, 0, 0)).save(tmp_path / "0.png")
    content = (tmp_path / "0.png").read_bytes()
    for number in range(1, STATS_SAMPLE + 300):
        (tmp_path / f"{number}.png").write_bytes(content)
    tiles = open_tiles(tmp_path, slide_config())
    assert tiles.mean == (1.0, 0.0, 0.0)
    assert len(tiles) == STATS_SAMPLE + 300


def test_tiles_have_the_most_common_side(tmp_path: Path) -> None:
    folder = tiny_tiles(tmp_path, 3, tile_px=48)
    Image.new("RGB", (64, 80), (9, 9, 9)).save(folder / "z.png")
    Image.new("RGB", (36, 40), (7, 7, 7)).save(folder / "y.png")
    tiles = open_tiles(folder, slide_config())
    assert tiles.side == 48
    samples = tiles.__getitems__([(n, 0) for n in range(5)])
    assert {sample.tile.shape for sample in samples} == {(48, 48, 3)}
    assert [int(sample.tile.max()) for sample in samples[3:]] == [7, 9]


def test_beside_slides_images_come_as_tile_px(tmp_path: Path) -> None:
    tiny_tiles(tmp_path, 3, tile_px=48)
    place_slide(tmp_path / "s.tif", 100, 100)
    tiles = open_tiles(tmp_path, slide_config(tissue="none"))
    assert tiles.side == 32
    assert {tiles[n, 0].tile.shape for n in range(len(tiles))} == {(32, 32, 3)}


def test_tiles_smaller_than_the_crop(tmp_path: Path) -> None:
    tiny_tiles(tmp_path / "t", 4, tile_px=96)
    message = r"t: tiles are 96 x 96 pixels, smaller than `tile_px=224`; use `tile_px=96`"
    with pytest.raises(UsageError, match=message):
        open_tiles(tmp_path / "t", slide_config(tile_px=224))


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (9, 1, r"^1 of 10 tiles that were tried cannot be used, more than 1 %: bad_0\.png: not a readable"),
        (0, 1, r"^1 of 1 tiles"),
        (120, 2, r"^2 of 122 tiles .*bad_0\.png: .*bad_1\.png: "),
        (120, 1, None),
    ],
)
def test_more_than_one_in_a_hundred_is_too_much(
    tmp_path: Path, good: int, bad: int, message: str | None
) -> None:
    folder = tiny_tiles(tmp_path / "t", good)
    for number in range(bad):
        (folder / f"bad_{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    if message is None:
        assert len(open_tiles(folder, slide_config())) == good + bad
        return
    with pytest.raises(UsageError, match=message) as caught:
        open_tiles(folder, slide_config())
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_small_ones_among_large_ones_are_bad(tmp_path: Path) -> None:
    folder = tiny_tiles(tmp_path / "t", 8, tile_px=48)
    Image.new("RGB", (20, 20)).save(folder / "small.png")
    with pytest.raises(UsageError, match=r"1 of 9 .*small.png: 20 x 20 pixels, smaller than the crop of 32"):
        open_tiles(folder, slide_config())


def test_one_image(tmp_path: Path) -> None:
    path = tiny_tiles(tmp_path, 1) / "tile_00.png"
    assert len(open_tiles(path, slide_config())) == len(open_tiles(tmp_path, slide_config())) == 1


def test_slides_that_are_all_bad_and_slides_without_tissue(tmp_path: Path) -> None:
    for name in ("a.svs", "b.svs"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"none of its 2 slides can be used: a.svs: .*0 bytes.* and 1 more"):
        open_tiles(tmp_path, slide_config())
    glass = tmp_path / "glass"
    glass.mkdir()
    white = np.full((200, 200, 3), 243, np.uint8)
    write_svs(glass / "c.svs", white)
    with pytest.raises(UsageError, match="glass: no tissue found on its 1 slides"):
        open_tiles(glass, slide_config())
    write_svs(glass / "d.svs", he_pixels(300, 300))
    tiles = open_tiles(glass, slide_config())
    assert tiles.slide_ids == ["d"]
    assert tiles.warnings == ["c.svs: no tile is taken from it, no tissue found"]
    assert tiles.about()["skipped_slides"] == []


def test_images_leave_their_digests(tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = {hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in tiles.iterdir()}
    assert set(open_tiles(tiles, tiny_config()).about()["image_digests"]) == every
    monkeypatch.setattr(opening, "DIGESTS", 5)
    some = open_tiles(tiles, tiny_config()).about()["image_digests"]
    assert set(some) < every
    assert len(some) == 5
