"""Heat maps: ranks, their colours where the tiles lie, and attention of something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import rankdata
from typer.testing import CliRunner, Result

import wsi_embed
from tests.job_tools import make_model
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.cli import app
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.plot import plot_bag
from wsi_embed.plot.attention import STEPS, rank_colours, ranks, slide_heat
from wsi_embed.store.attention import SlideAttention, write_attention


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with slides s and t, a store of them, and attention of s in `out`. Do not change it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "slides").mkdir()
    for seed, name in enumerate("st"):
        write_tiff(folder / "slides" / f"{name}.tif", he_pixels(300, 260, seed=seed), mpp=0.5)
    wsi_embed.embed(folder / "slides", folder / "f.zarr", model=make_model(folder / "m"))
    (folder / "out").mkdir()
    about = {"model_id": wsi_embed.open_store(folder / "f.zarr").model_id, "method": "abmil"}
    write_attention(folder / "out" / "attention.zarr", about, [attention(folder)])
    return folder


def attention(folder: Path) -> SlideAttention:
    bag = wsi_embed.open_store(folder / "f.zarr")["s"]
    paid = np.random.default_rng(0).random((len(bag), 1)).astype(np.float32)
    grid = bag.grid[:].astype(np.int32)
    return SlideAttention("s", paid, grid, ("all",), "a", "b", {"a": 0.1, "b": 0.9})


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 2.0]), min_size=2, max_size=30))
def test_ranks_are_scipys(values: list[float]) -> None:
    expected = (rankdata(values) - 1) / (len(values) - 1)
    np.testing.assert_allclose(ranks(np.array(values)), expected)


def test_ranks_of_few() -> None:
    assert ranks(np.array([])).tolist() == []
    assert ranks(np.array([0.2])).tolist() == [1.0]
    assert rank_colours(np.array([])).shape == (0, 3)


def test_every_tile_has_the_colour_of_its_rank(made: Path) -> None:
    bag = wsi_embed.open_store(made / "f.zarr")["s"]
    heat = slide_heat(attention(made), bag, "abmil")
    with wsi_embed.open_slide(made / "slides" / "s.tif") as slide:
        picture = np.asarray(plot_bag(slide, bag, max_px=300, view="map", heat=heat))
    expected = rank_colours((rankdata(attention(made).attention[:, 0]) - 1) / (len(bag) - 1))
    for (x, y), colour in zip(bag.coords[:].tolist(), expected, strict=True):
        assert (picture[y + 2 : y + 30, x + 2 : x + 30] == colour).all()
    brightness: npt.NDArray[np.int_] = rank_colours(np.linspace(0, 1, 9)).astype(int).sum(1)
    assert (np.diff(brightness) > 0).all()


def test_what_is_said_of_it(made: Path) -> None:
    bag = wsi_embed.open_store(made / "f.zarr")["s"]
    found = attention(made)
    top = found.attention.max() / found.attention.sum()
    facts = slide_heat(found, bag, "abmil").facts
    assert facts.startswith("abmil, attention; labelled a, predicted b (0.90); ")
    assert facts.endswith(" of tiles with the most")
    assert f"; {100 * top:.1f} % of it on the " in facts
    two = replace(found, attention=np.repeat(found.attention, 2, 1), columns=("a", "b"))
    assert "attention for b;" in slide_heat(two, bag, "dsmil").facts
    assert "attention for a;" in slide_heat(two, bag, "dsmil", "a").facts
    assert [entry.text for entry in slide_heat(found, bag, "x").entries][1:] == [name for _, name in STEPS]


def test_attention_to_other_tiles(made: Path) -> None:
    store = wsi_embed.open_store(made / "f.zarr")
    found = attention(made)
    with pytest.raises(StoreError, match="s: its attention is about other tiles than the store has"):
        slide_heat(replace(found, grid=found.grid[::-1].copy()), store["s"], "abmil")


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


def test_as_typed(made: Path, tmp_path: Path) -> None:
    common = (made / "f.zarr", "--slides", made / "slides", "--max-px", 300, "--out", tmp_path / "p")
    done = typed(*common, "--attention", made / "out")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["s-attention.png"]
    assert "1 slide without attention left out: t" in done.stderr
    with Image.open(tmp_path / "p" / "s-attention.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    brightest = rank_colours(np.array([1.0]))[0]
    assert (pixels == brightest).all(2).sum() > 32 * 32  # the tile, and the legend


def test_refusals(made: Path, tmp_path: Path) -> None:
    common = (made / "f.zarr", "--slides", made / "slides", "--max-px", 300, "--out", tmp_path / "p")
    for name, about, slides, says in (
        (
            "other",
            {"model_id": "sha256:x", "method": "abmil"},
            [attention(made)],
            "of features of model sha256:x",
        ),
        ("none", None, [replace(attention(made), slide_id="z")], "about none of 2 slides"),
    ):
        model_id = wsi_embed.open_store(made / "f.zarr").model_id
        write_attention(tmp_path / name, about or {"model_id": model_id, "method": "abmil"}, slides)
        done = typed(*common, "--attention", tmp_path / name)
        assert isinstance(done.exception, UsageError)
        assert says in str(done.exception)
    sheet = typed(*common, "--attention", made / "out", "--contact-sheet")
    assert "--contact-sheet shows no attention" in str(sheet.exception)
    wrong = typed(*common, "--attention", made / "out", "--attention-class", "fat")
    assert "no attention for class 'fat'" in str(wrong.exception)
    assert list((tmp_path / "p").iterdir()) == []
