"""Which reader a slide gets, from Python and from the command line, and what becomes of the choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import wsi_embed
from tests.job_tools import make_model
from tests.made_formats.dicom import write_dicom
from tests.made_formats.jpeg_tiles import write_jpeg_slide
from tests.made_slides import he_pixels, write_svs
from wsi_embed.bags.geometry import bag_grid
from wsi_embed.cli import app
from wsi_embed.errors import SlideError, UsageError
from wsi_embed.plot.bag_tiles import open_embedded
from wsi_embed.slide import open_slide
from wsi_embed.tiles.folder import RECORD

PIXELS = he_pixels(400, 500, seed=3)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """One slide for each reader."""
    folder = tmp_path / "slides"
    folder.mkdir()
    write_jpeg_slide(folder / "ome.tif", PIXELS, subifds=True, tile=128)
    write_svs(folder / "deflate.svs", PIXELS, mpp=0.5)
    Image.fromarray(PIXELS).save(folder / "picture.png")
    return folder


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("ome.tif", ("tiff", "openslide", "tiff", None)),
        ("deflate.svs", ("openslide", "openslide", None, None)),
        ("picture.png", ("pillow", "pillow", "pillow", None)),
    ],
)
def test_auto_takes_the_tiff_reader_where_it_can(
    slides: Path, name: str, readers: tuple[str | None, ...]
) -> None:
    for reader, expected in zip(("auto", "openslide", "tiff", "zarr"), readers, strict=True):
        if expected is None:
            with pytest.raises(
                SlideError, match=r"not for the TIFF reader \(its tiles are no JPEGs\)|not an OME-Zarr"
            ):
                open_slide(slides / name, reader)
        else:
            with open_slide(slides / name, reader) as slide:
                assert slide.reader == expected


def test_a_reader_that_is_none_is_refused(slides: Path) -> None:
    words = "`reader='vips'`: choose auto, openslide, tiff, dicom, zarr or fastslide"
    with pytest.raises(UsageError, match=words):
        open_slide(slides / "ome.tif", "vips")
    with pytest.raises(UsageError, match=words):
        wsi_embed.embed(slides, slides / "f.zarr", reader="vips")


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("reader", "code", "used"),
    [
        (None, 0, {"ome": "tiff", "deflate": "openslide", "picture": "pillow"}),
        ("openslide", 0, {"ome": "openslide", "deflate": "openslide", "picture": "pillow"}),
        ("tiff", 1, {"ome": "tiff", "picture": "pillow"}),
    ],
)
def test_the_command_takes_a_reader_and_the_store_records_which_it_was(
    slides: Path, tmp_path: Path, reader: str | None, code: int, used: dict[str, str]
) -> None:
    options = [] if reader is None else ["--reader", reader]
    store, report = tmp_path / "f.zarr", tmp_path / "r.json"
    found = run(
        "embed", slides, "--out", store, "--model", make_model(tmp_path), "--mpp-override", 0.5,
        "--report", report, *options,
    )  # fmt: skip
    assert found[0] == code
    assert {name: bag.attrs["reader"] for name, bag in wsi_embed.open_store(store).items()} == used
    assert ("not for the TIFF reader" in found[1]) == (code == 1)
    assert json.loads(report.read_text())["settings"]["reader"] == (reader or "auto")


def test_tile_info_and_plot_take_a_reader_too(slides: Path, tmp_path: Path) -> None:
    path = slides / "ome.tif"
    for reader in ("openslide", "tiff"):
        out = tmp_path / f"tiles-{reader}"
        assert run("tile", path, "--out", out, "--reader", reader, "--tile-px", 64)[0] == 0
        assert json.loads((out / "ome" / RECORD).read_text())["reader"] == reader
        code, text = run("info", path, "--json", "--reader", reader)
        assert (code, json.loads(text)["reader"]) == (0, reader)
    store = tmp_path / "f.zarr"
    wsi_embed.embed(path, store, model=make_model(tmp_path))
    for options in ([], ["--reader", "openslide"]):
        done = run("plot", store, "--slides", path, "--out", tmp_path / "p", "--max-px", 200, *options)
        assert done[0] == 0, done[1]


def test_pictures_are_read_as_the_job_read_its_slides(slides: Path, tmp_path: Path) -> None:
    for reader in ("openslide", "tiff"):
        store = tmp_path / f"{reader}.zarr"
        wsi_embed.embed(slides / "ome.tif", store, model=make_model(tmp_path), reader=reader)
        bag = wsi_embed.open_store(store)["ome"]
        with open_embedded(slides / "ome.tif", bag) as slide:
            assert slide.reader == reader
        with open_embedded(slides / "ome.tif", bag, "auto") as slide:
            assert slide.reader == "tiff"


@pytest.mark.parametrize(("factors", "same"), [((1, 2), True), ((1, 3), False)])
def test_with_another_reader_a_slide_is_done_where_its_pixels_are_the_same(
    factors: tuple[int, ...], same: bool, tmp_path: Path
) -> None:
    path = write_jpeg_slide(tmp_path / "a.tif", PIXELS[:, :400], factors=factors)
    out, model = tmp_path / "f.zarr", make_model(tmp_path)
    assert wsi_embed.embed(path, out, model=model).count("done") == 1
    (result,) = wsi_embed.embed(path, out, model=model, reader="openslide").slides
    assert result.status == ("skipped" if same else "failed")
    assert ("(reader tiff -> none)" in str(result.reason)) is not same
    (result,) = wsi_embed.embed(path, out, model=model, reader="tiff").slides
    assert result.status == "skipped"


@pytest.fixture
def fast(tmp_path: Path) -> dict[bool, Any]:
    """A slide's bag at half resolution, with and without the option."""
    path = write_jpeg_slide(tmp_path / "a.svs", PIXELS, tile=64, factors=(1,), aperio=True)
    bags = {}
    for option in (False, True):
        store = tmp_path / f"{option}.zarr"
        model = make_model(tmp_path)
        wsi_embed.embed(path, store, model=model, mpp=1.0, fast_downsample=option, dtype="float32")
        bags[option] = wsi_embed.open_store(store)["a"]
    return bags


def test_fast_downsampling_is_recorded_and_gives_other_features_at_the_same_places(
    fast: dict[bool, Any],
) -> None:
    assert (fast[False].attrs["dct_scale"], fast[True].attrs["dct_scale"]) == (1, 2)
    assert fast[False].attrs["settings"]["resampling"] == "area"
    assert fast[True].attrs["settings"]["resampling"] == "dct 1/2, area"
    assert fast[False].attrs["settings_fingerprint"] != fast[True].attrs["settings_fingerprint"]
    assert np.array_equal(fast[False].coords[:], fast[True].coords[:])
    apart = np.abs(fast[False].features[:] - fast[True].features[:])
    assert 0 < apart.max() < 0.2


def test_pictures_of_a_fast_store_show_the_pixels_that_were_encoded(
    fast: dict[bool, Any], tmp_path: Path
) -> None:
    for option, bag in fast.items():
        grid = bag_grid(bag)
        assert grid.plan.dct_scale == 1 + option
        with open_embedded(tmp_path / "a.svs", bag) as slide:
            assert slide.reader == "tiff"
            assert len(list(slide.read_tiles(grid))) == len(bag)
    with (
        open_slide(tmp_path / "a.svs", "openslide") as slide,
        pytest.raises(SlideError, match="use `reader='auto'`"),
    ):
        slide.stream(bag_grid(fast[True]))


def test_tile_downsamples_fast_too(tmp_path: Path) -> None:
    path = write_jpeg_slide(tmp_path / "a.svs", PIXELS, tile=64, factors=(1,), aperio=True)
    for options in ([], ["--fast-downsample"]):
        out = tmp_path / f"tiles{len(options)}"
        assert run("tile", path, "--out", out, "--tile-px", 32, "--mpp", 1.0, *options)[0] == 0
        record = json.loads((out / "a" / RECORD).read_text())
        assert record["dct_scale"] == 1 + len(options)


def test_a_folder_of_dicom_files_says_what_to_name_instead(tmp_path: Path) -> None:
    write_dicom(tmp_path / "case", PIXELS, factors=(1,))
    with pytest.raises(
        SlideError,
        match=r"case: is a folder of DICOM files; name one of them, such as case/1_0\.dcm: .* series",
    ):
        open_slide(tmp_path / "case")
