from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluate.made import table
from tests.made_models import tiny_onnx, tiny_tiles
from wsi_embed.encoder import load_encoder
from wsi_embed.errors import UsageError
from wsi_embed.evaluate.tile_table import encode_table, read_tile_table
from wsi_embed.slide.tile_images import image_digest

HEADER = "path,label,split,group,slide_id,patient"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiles in a folder `t`, and a model. Do not change it."""
    made = tmp_path_factory.mktemp("made")
    tiny_tiles(made / "t", 6)
    tiny_onnx(made / "m.onnx")
    return made


def rows(*parts: str) -> list[str]:
    return [f"t/tile_{n:02}.png,{part}" for n, part in enumerate(parts)]


def test_columns(folder: Path) -> None:
    source = table(folder / "a.csv", HEADER, *rows("a,train,g,s,p", "b,train,,s,", "a,test,,,", "b,val,,,"))
    found = read_tile_table(source)
    assert found.tiles.labels.tolist() == ["a", "b", "a"]
    assert found.tiles.test.tolist() == [False, False, True]
    assert found.tiles.groups.tolist() == ["g", "", ""]
    assert found.tiles.slides.tolist() == ["s", "s", ""]
    assert found.tiles.patients.tolist() == ["p", "", ""]
    assert found.tiles.names == ["t/tile_00.png", "t/tile_01.png", "t/tile_02.png"]
    assert found.paths[2] == folder / "t" / "tile_02.png"


def test_columns_and_splits_in_any_spelling(folder: Path) -> None:
    header = "Path, Label , SPLIT,Group,slide,Case ID"
    found = read_tile_table(
        table(folder / "s.csv", header, *rows("a,Train,g,s,p", "b,TEST,,,")), column="LABEL"
    )
    assert (found.tiles.labels.tolist(), found.tiles.test.tolist()) == (["a", "b"], [False, True])
    tiles = found.tiles
    assert [v[0] for v in (tiles.groups, tiles.slides, tiles.patients)] == ["g", "s", "p"]
    with pytest.raises(UsageError, match="the column 'groups' is not known; rename it to `group`"):
        read_tile_table(table(folder / "s.csv", "path,label,split,groups", *rows("a,train,g")))


def test_another_column_and_some_classes(folder: Path) -> None:
    source = table(folder / "b.csv", "path,kind,split", *rows("a,train", "b,train", "c,test", "d,test"))
    found = read_tile_table(source, {"a": "x", "c": "c"}, column="kind")
    assert found.tiles.labels.tolist() == ["x", "c"]
    assert [path.name for path in found.paths] == ["tile_00.png", "tile_02.png"]


def test_groups_for_folds_need_no_split(folder: Path) -> None:
    source = table(folder / "g.csv", "path,label,Specimen,split", *rows("a,1,train", "b,NA,val", "a,2.0,"))
    found = read_tile_table(source, group="specimen").tiles
    assert found.labels.tolist() == ["a", "b", "a"]
    assert found.groups.tolist() == ["1", "", "2.0"]
    assert not found.test.any()
    with pytest.raises(UsageError, match="no column 'lab', which `group=` needs; it has path, label"):
        read_tile_table(table(folder / "g.csv", "path,label", *rows("a", "b")), group="lab")


@pytest.mark.parametrize("group", ["patient", "patient_id", "slide_id", "path"])
def test_a_known_column_can_hold_the_groups(folder: Path, group: str) -> None:
    source = table(
        folder / "k.csv",
        f"path,label,{group}" if group != "path" else "path,label",
        *(rows("a,p1", "b,p1", "a,p2") if group != "path" else rows("a", "b", "a")),
    )
    found = read_tile_table(source, group=group).tiles
    assert found.groups.tolist() == (["p1", "p1", "p2"] if group != "path" else list(found.names))


@pytest.mark.parametrize(
    ("header", "lines", "says"),
    [
        ("path,split", rows("train"), "no column 'label', which `tiles=` needs; it has path, split"),
        ("path,label", rows("a"), "no column 'split', which `tiles=` needs; it has path, label"),
        ("path,label,split", rows("a,train", ",test"), "row 3: no label; add it or leave the row out"),
        ("path,label,split", ["t/none.png,a,train"], "t/none.png is not there"),
        ("path,label,split", [*rows("a,train"), "t/tile_00.png,a,test"], "t/tile_00.png is listed twice"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, header: str, lines: list[str], says: str) -> None:
    source = table(folder / "bad.csv", header, *lines)
    with pytest.raises(UsageError, match=says):
        read_tile_table(source)


def test_a_table_is_checked_before_it_is_encoded(folder: Path) -> None:
    source = table(folder / "c.csv", "path,label,split", *rows("a,train", "b,train"))
    with pytest.raises(UsageError, match="no tile has the split 'test'"):
        encode_table(read_tile_table(source), load_encoder(folder / "m.onnx", device="cpu"))


def test_tiles_that_the_model_was_trained_on_are_said(folder: Path, tmp_path: Path) -> None:
    known = [image_digest(folder / "t" / f"tile_{n:02}.png") for n in (0, 3)]
    training = {"images": 10, "image_digests": [*known, "0" * 12]}
    model = tiny_onnx(tmp_path / "m.onnx", changes={"training": training, "training_slides": ["s1"]})
    lines = rows("a,train,,,", "b,train,,,", "a,test,,s2,", "b,test,,s1,", "a,test,,,")
    found = encode_table(
        read_tile_table(table(folder / "d.csv", HEADER, *lines)), load_encoder(model, device="cpu")
    )
    assert found.features.shape == (5, 8)
    assert found.seen == {"slides": ["s1"], "tiles": 1, "known_tiles": 3}
    assert found.notes == (
        "the model was trained on 1 slide of the test set (s1): the scores are not of unseen slides",
        "the model was trained on 1 tile of the test set (tile_03.png); it had 10 tile images, of which 3 "
        "are known",
    )


def test_a_model_that_does_not_say_what_it_saw(folder: Path) -> None:
    lines = rows("a,train,,,", "b,test,,,")
    source = table(folder / "e.csv", HEADER, *lines)
    found = encode_table(read_tile_table(source), load_encoder(folder / "m.onnx", device="cpu"))
    assert found.seen is None
    assert "whether it saw test tiles is not known" in found.notes[0]
