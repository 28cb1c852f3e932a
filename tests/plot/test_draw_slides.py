"""`wsi-embed plot`: what it writes, what it says, how it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import wsi_embed
from tests.job_tools import invoke, make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed import UsageError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.plot.chosen_slides import select
from wsi_embed.plot.draw_slides import Drawing, draw_sheet, draw_slides
from wsi_embed.plot.save import save_picture


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with slides, a store of two of them, and annotations. Do not change it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "slides" / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a", "sub/b")):
        write_tiff(folder / "slides" / f"{name}.tif", he_pixels(300, 260, seed=seed), mpp=0.5)
    wsi_embed.embed(folder / "slides", folder / "f.zarr", model=make_model(folder / "m"))
    write_tiff(folder / "slides" / "new.tif", he_pixels(300, 260, seed=7), mpp=0.5)
    (folder / "annotations").mkdir()
    square = [[50, 50], [200, 50], [200, 200], [50, 50]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    (folder / "annotations" / "a.geojson").write_text(json.dumps([feature]))
    return folder


class Console:
    """What was said."""

    def __init__(self) -> None:
        self.pictures: list[str] = []
        self.lines: list[str] = []


def drawn(
    made: Path, out: Path, drawing: Drawing, *, sheet: bool = False, store: Path | None = None
) -> tuple[int, Console]:
    console = Console()
    opened = wsi_embed.open_store(store or made / "f.zarr")
    items = select(opened, find_slides([made / "slides"]), console.lines.append)
    out.mkdir(exist_ok=True)
    draw = draw_sheet if sheet else draw_slides
    failed = draw(
        opened, items, out, drawing, lambda p: console.pictures.append(Path(p).name), console.lines.append
    )
    return failed, console


def has(picture: Path, colour: tuple[int, int, int]) -> bool:
    with Image.open(picture) as opened:
        return bool((np.asarray(opened.convert("RGB")) == np.array(colour)).all(2).any())


def test_annotations_are_found_by_name_and_absent_ones_said(made: Path, tmp_path: Path) -> None:
    drawing = Drawing(300, "map", made / "annotations")
    failed, console = drawn(made, tmp_path / "p", drawing)
    assert failed == 0
    assert console.pictures == ["a.png", "sub__b.png", "legend.png"]
    assert console.lines == [
        "1 of 3 slides given is not complete in the store: new",
        "1 slide without annotations, drawn without contours: sub__b",
    ]
    blue = (0, 0, 205)
    assert [has(tmp_path / "p" / name, blue) for name in console.pictures] == [True, False, True]


def test_pictures_record_their_resolution(made: Path, tmp_path: Path) -> None:
    for kind, dpi in (("png", 300), ("tiff", 150)):
        _, console = drawn(made, tmp_path / kind, Drawing(300, dpi=dpi, format=kind))
        assert {Path(name).suffix for name in console.pictures} == {f".{kind}"}
        for name in console.pictures:
            with Image.open(tmp_path / kind / name) as picture:
                assert [round(float(value)) for value in picture.info["dpi"]] == [dpi, dpi]
    with Image.open(tmp_path / "png" / "a.png") as png, Image.open(tmp_path / "tiff" / "a.tiff") as tiff:
        np.testing.assert_array_equal(np.asarray(png), np.asarray(tiff))


def test_annotations_that_fit_nothing_are_refused_before_any_work(made: Path, tmp_path: Path) -> None:
    for folder in ("empty", "foreign"):
        (tmp_path / folder).mkdir()
    (tmp_path / "foreign" / "z.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for source, words in (
        (tmp_path / "nothing", "no such file or folder"),
        (tmp_path / "empty", "holds no .geojson"),
        (tmp_path / "foreign", "no file for any of the 2 slides"),
        (made / "annotations" / "a.geojson", "is one file, but there are 2 slides"),
    ):
        with pytest.raises(UsageError, match=words):
            drawn(made, tmp_path / "p", Drawing(300, annotations=source))
    assert list((tmp_path / "p").iterdir()) == []
    with pytest.raises(UsageError, match="leave `annotations=` out"):
        drawn(made, tmp_path / "p", Drawing(annotations=made / "annotations"), sheet=True)


def test_a_broken_annotation_file_fails_its_slide_alone(made: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.geojson").write_text("{")
    failed, console = drawn(made, tmp_path / "p", Drawing(300, annotations=tmp_path / "a"))
    assert failed == 1
    assert console.pictures == ["sub__b.png", "legend.png"]
    assert console.lines[-1].startswith("a: ")


@pytest.mark.parametrize("sheet", [False, True])
def test_a_damaged_group_is_one_line_and_the_others_go_on(made: Path, sheet: bool, tmp_path: Path) -> None:
    store = tmp_path / "f.zarr"
    wsi_embed.embed(made / "slides", store, model=made / "m" / "tiny.onnx")
    document = json.loads((store / "a" / "zarr.json").read_text())
    for name in ("mpp", "slide_fingerprint", "stride"):
        del document["attributes"][name]
    (store / "a" / "zarr.json").write_text(json.dumps(document))
    failed, console = drawn(made, tmp_path / "p", Drawing(300), sheet=sheet, store=store)
    assert failed == 1
    (line,) = console.lines
    assert line.startswith("a: ")
    assert line.endswith("run wsi-embed verify")
    assert console.pictures == (["clusters.png"] if sheet else ["new.png", "sub__b.png", "legend.png"])


@pytest.mark.parametrize("damage", ["zarr.json", "coords/zarr.json", "coords/c/0/0"])
def test_geojson_of_a_damaged_slide_fails_alone(made: Path, damage: str, tmp_path: Path) -> None:
    store = Path(shutil.copytree(made / "f.zarr", tmp_path / "f.zarr"))
    (store / "a" / damage).write_bytes(b"[" * 100_000)
    done = invoke("plot", store, "--geojson", "--out", tmp_path / "p")
    assert done.returncode == 1
    assert done.stderr.startswith(("a: ", "a/coords: "))
    assert not done.stderr.startswith(("a: a:", "a: a/"))
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["sub__b.geojson"]


def test_a_missing_array_is_one_line(made: Path, tmp_path: Path) -> None:
    store = tmp_path / "f.zarr"
    shutil.copytree(made / "f.zarr", store)
    shutil.rmtree(store / "a" / "coords")
    failed, console = drawn(made, tmp_path / "p", Drawing(300), store=store)
    assert failed == 1
    assert console.pictures == ["sub__b.png", "legend.png"]
    assert "run wsi-embed verify" in console.lines[-1]


def test_a_slide_called_legend_keeps_its_picture(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    write_tiff(tmp_path / "slides" / "legend.tif", he_pixels(300, 260), mpp=0.5)
    wsi_embed.embed(tmp_path / "slides", tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    assert drawn(tmp_path, tmp_path / "p", Drawing(300))[1].pictures == ["legend.png", "_legend.png"]


def test_options_that_make_no_sense_are_refused() -> None:
    for options, word in (
        ({"format": "pdf"}, "`format="),
        ({"dpi": 0}, "`dpi="),
        ({"view": "x"}, "`view="),
        ({"max_px": 1}, "`max_px="),
    ):
        with pytest.raises(UsageError, match=word):
            Drawing(**options)


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(wsi_embed.WsiEmbedError, match="cannot be written"):
        save_picture(Image.new("RGB", (9, 9)), tmp_path / "x.png")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_the_command_draws_contact_sheets(made: Path, tmp_path: Path) -> None:
    done = invoke(
        "plot", made / "f.zarr", "--slides", made / "slides", "--contact-sheet", "--out", tmp_path / "p"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "p" / "clusters.png")]
    assert done.stderr == "1 of 3 slides given is not complete in the store: new\n"


def test_the_command_says_what_is_wrong_in_one_line(made: Path, tmp_path: Path) -> None:
    done = invoke("plot", made / "f.zarr", "--slides", made / "slides" / "new.tif", "--out", tmp_path / "p")
    assert done.returncode == 2
    assert done.stderr.startswith("error: none of 1 slide given")
    assert done.stderr.count("\n") == 1
