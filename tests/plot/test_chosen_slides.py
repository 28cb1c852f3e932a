"""Which slides `wsi-embed plot` draws: those given, by id or file name, or those beside the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import wsi_embed
from tests.job_tools import invoke, make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import UsageError
from wsi_embed.inputs.slides import find_slides
from wsi_embed.plot.chosen_slides import find_recorded, select


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides, and a store of a manifest that gives them other ids. Do not change it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "slides").mkdir()
    for seed, name in enumerate("abc"):
        write_tiff(folder / "slides" / f"{name}.tif", he_pixels(200, 200, seed=seed), mpp=0.5)
    (folder / "list.csv").write_text("path,slide_id\nslides/a.tif,S1\nslides/b.tif,S2\n")
    wsi_embed.embed(folder / "list.csv", folder / "f.zarr", model=make_model(folder / "m"))
    return folder


def test_slides_with_other_ids_are_known_by_their_file_names(made: Path) -> None:
    warnings: list[str] = []
    items = select(wsi_embed.open_store(made / "f.zarr"), find_slides([made / "slides"]), warnings.append)
    assert [(item.slide_id, item.path.name) for item in items] == [("S1", "a.tif"), ("S2", "b.tif")]
    assert warnings == ["1 of 3 slides given is not complete in the store: c"]


def test_a_file_name_that_two_slides_have_decides_nothing(made: Path, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(made / "slides" / "a.tif", tmp_path / folder / "a.tif")
    with pytest.raises(UsageError, match="none of 2 slides given is in") as error:
        select(wsi_embed.open_store(made / "f.zarr"), find_slides([tmp_path]), print)
    assert "given are x__a, y__a, and the store has S1, S2; give the manifest" in str(error.value)


@pytest.mark.parametrize("where", ["beside", "current", "elsewhere"])
def test_slides_are_found_by_what_the_store_records(
    where: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made / "f.zarr"
    if where != "beside":
        store = tmp_path / "stores" / "f.zarr"
        shutil.copytree(made / "f.zarr", store)
    monkeypatch.chdir(made if where == "current" else tmp_path)
    if where == "elsewhere":
        with pytest.raises(
            UsageError, match=r"none of 2 slides of f.zarr is in its folder or the current one"
        ):
            find_recorded(wsi_embed.open_store(store))
        return
    found = find_recorded(wsi_embed.open_store(store))
    expected = [("S1", made / "slides/a.tif"), ("S2", made / "slides/b.tif")]
    assert [(item.slide_id, item.path) for item in found] == expected


def test_a_folder_of_slides_beside_the_store_is_searched(tmp_path: Path, made: Path) -> None:
    """The job was given the folder, so the names are relative to it."""
    shutil.copytree(made / "slides", tmp_path / "cohort")
    wsi_embed.embed(tmp_path / "cohort", tmp_path / "f.zarr", model=make_model(tmp_path / "m"))
    done = invoke("plot", tmp_path / "f.zarr", "--max-px", "100")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "f-plots").iterdir()} == {
        "a.png", "b.png", "c.png", "legend.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "{}"), ("info", "{}"), ("plot", "{}"), ("finalize", "{}"), ("plot", "{}", "--geojson"),
        ("convert", "{}", "--to", "clam", "--out", "y"), ("convert", "{}", "--from", "clam", "--out", "y"),
        ("cluster", "{}", "--out", "y"), ("eval", "clusters", "{}"),
        ("eval", "mil", "{}", "--labels", "{}.csv"), ("eval", "knn", "{}", "--model", "default"),
        ("train", "{}", "--out", "y"), ("export", "{}", "--out", "y.onnx"),
        ("compare", "default", "{}.onnx", "--tiles", "{}"), ("bench", "{}"), ("embed", "{}", "--out", "y"),
        ("tile", "{}", "--out", "y"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_path_exits_2_in_every_command(command: tuple[str, ...], tmp_path: Path) -> None:
    done = invoke(*(part.format(tmp_path / "nothing") for part in command), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "nothing" in done.stderr
    assert list(tmp_path.iterdir()) == []
