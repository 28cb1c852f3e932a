from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.made_formats.ome_zarr import write_ome_zarr
from tests.made_models import tiny_tiles
from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed.errors import UsageError
from wsi_embed.inputs.folders import TILES_MARK
from wsi_embed.inputs.slides import find_slides
from wsi_embed_train.data.sources import CHUNK, find_source, look_at


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three tile images and two slides at different depths."""
    folder = tmp_path / "mixed"
    tiny_tiles(folder / "b" / "deep", 2)
    tiny_tiles(folder, 1)
    (folder / "tile_00.png").rename(folder / "UPPER.PNG")
    (folder / "notes.txt").write_text("no tile")
    (folder / "a").mkdir()
    write_svs(folder / "a" / "one.svs", he_pixels(64, 64))
    write_tiff(folder / "two.tif", he_pixels(64, 64))
    return folder


def test_folder_at_any_depth_with_images_and_slides(mixed: Path) -> None:
    source = find_source(mixed)
    assert source.images == ["UPPER.PNG", "b/deep/tile_00.png", "b/deep/tile_01.png"]
    assert [(s.slide_id, s.name) for s in source.slides] == [("a__one", "a/one.svs"), ("two", "two.tif")]
    assert (source.name, source.root, source.columns) == ("mixed", mixed, None)


def test_an_ome_zarr_is_a_slide_in_a_folder_alone_and_in_a_csv(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "in/a.ome.zarr", he_pixels(64, 64), factors=(1,))
    (tmp_path / "list.csv").write_text("path\nin/a.ome.zarr\n")
    for source in (tmp_path / "in", folder, tmp_path / "list.csv"):
        found = find_source(source)
        assert ([s.path for s in found.slides], found.images) == ([folder], [])


def test_slides_are_those_that_extraction_finds(shared_slides: Path) -> None:
    assert find_source(shared_slides).slides == find_slides([shared_slides])


def test_pictures_of_a_slide_are_no_tile_images(tmp_path: Path) -> None:
    """The JPEGs of a VMS slide: one is the macro image, which may show a patient's name."""
    (tmp_path / "a.vms").write_text("[Virtual Microscope Specimen]\nImageFile=a.jpg\nMacroImage=macro.jpg\n")
    for name in ("a.jpg", "macro.jpg", "._b.png", "tile.jpg"):
        Image.new("RGB", (32, 32)).save(tmp_path / name, "JPEG")
    source = find_source(tmp_path)
    assert (source.images, [s.name for s in source.slides]) == (["tile.jpg"], ["a.vms"])


def test_name_of_the_folder_one_is_in(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mixed)
    assert find_source(Path()).name == "mixed"


def test_one_file(mixed: Path) -> None:
    assert find_source(mixed / "UPPER.PNG").images == ["UPPER.PNG"]
    assert [s.slide_id for s in find_source(mixed / "two.tif").slides] == ["two"]


def test_tiles_of_one_stem_are_no_clash_and_slides_are(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    assert find_source(tmp_path).images == ["a.jpg", "a.png"]
    write_svs(tmp_path / "s.svs", he_pixels(64, 64))
    write_tiff(tmp_path / "s.tif", he_pixels(64, 64))
    with pytest.raises(UsageError, match="two slides have the id 's'"):
        find_source(tmp_path)


def test_columns_of_a_csv_in_any_spelling(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("Path, Label, MPP ,Slide ID,Split\na.png,x,0.5,s,one\n")
    source = find_source(tmp_path / "t.csv", "one")
    assert (source.images, source.image_labels) == (["a.png"], ["x"])
    assert (source.image_mpps, source.image_slides) == ({0.5}, {"s"})


def test_csv_of_images_and_slides(mixed: Path) -> None:
    listed = mixed / "all.csv"
    listed.write_text(
        "path,label,split,mpp,slide_id\n"
        "two.tif,x,train,0.5,S-2\n"
        "b/deep/tile_01.png,y,train,0.25,some slide\n"
        f"{mixed / 'UPPER.PNG'},x,train,,\n"
        "b/deep/tile_00.png,y,test,1,other\n"
        "two.tif,x,train,0.5,S-2\n"
        "b/deep/tile_01.png,y,train,0.25,some slide\n"
    )
    source = find_source(listed, "train")
    assert source.images == [str(mixed / "UPPER.PNG"), "b/deep/tile_01.png"]  # what is listed twice is one
    assert source.image_labels == ["x", "y"]
    assert (source.image_slides, source.image_mpps) == ({"some slide"}, {0.25})
    assert [(s.slide_id, s.mpp, s.path) for s in source.slides] == [("S-2", 0.5, mixed / "two.tif")]
    assert source.slide_labels == {"S-2": "x"}
    assert find_source(listed).images[1:] == ["b/deep/tile_00.png", "b/deep/tile_01.png"]


@pytest.mark.parametrize(
    ("content", "split", "message"),
    [
        ("file,split\na.png,train\n", "train", "needs a column `path`.*; it has file, split"),
        ("path\na.png\n", "train", "no column 'split'; it has path"),
        ("path,split\na.png,test\nb.png,\n", "trian", "no row has the split 'trian'; there are test"),
        ("path,split\na.png,\n", "train", "there are none"),
        ("path,split\n", None, "lists no tile images and no slides"),
        ("path,split\n", "train", "lists no tile images and no slides"),
        ("path\na.png\n,\n", None, "row 3: the path is empty"),
        ("path,mpp\na.png,fast\n", None, "row 2: mpp 'fast' is not a number"),
        ("path,label\na.svs,x\na.svs,y\n", None, "slide a is given twice, with different labels"),
        ("path\nx/a.svs\ny/a.svs\n", None, "two slides have the id 'a'"),
    ],
)
def test_csv_errors(tmp_path: Path, content: str, split: str | None, message: str) -> None:
    listed = tmp_path / "tiles.csv"
    listed.write_text(content)
    with pytest.raises(UsageError, match=message):
        find_source(listed, split)


def test_source_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tile images found, and no slides"):
        find_source(tmp_path)
    with pytest.raises(UsageError, match="`split=` needs a CSV"):
        find_source(tmp_path, "train")
    for name in ("missing", "missing.csv"):
        with pytest.raises(UsageError, match=f"{name}: no such file or folder; give slides, a folder"):
            find_source(tmp_path / name)


def test_many_files_are_looked_at_in_order(tmp_path: Path) -> None:
    image, slide = tiny_tiles(tmp_path, 1) / "tile_00.png", tmp_path / "a.svs"
    files = [image if number % 3 else slide for number in range(2 * CHUNK + 1)]
    assert list(look_at(files)) == [bool(number % 3) for number in range(2 * CHUNK + 1)]


def test_tiles_that_were_cut_are_found_at_any_depth_but_not_unfinished_ones(tmp_path: Path) -> None:
    made = tmp_path / "all" / "tiles"
    for name in ("s0/0_0.png", "s0/8_0.png", ".s1~/0_0.png"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(made / name)
    (made / TILES_MARK).touch()
    for folder in (made, tmp_path / "all"):
        found = find_source(folder)
        assert [Path(name).name for name in found.images] == ["0_0.png", "8_0.png"]
        assert not found.slides
