"""OME-Zarr slides: the pixels that were written, in every layout, and what jobs make of them."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.job_tools import arrays, make_model
from tests.made_formats.ome_zarr import black_hole, write_ome_zarr, zipped
from tests.made_slides import UInt8Array, he_pixels, write_tiff
from wsi_embed import embed
from wsi_embed.diagnostics.describe import describe
from wsi_embed.errors import SlideError
from wsi_embed.grid import ReadPlan, make_grid
from wsi_embed.slide import open_slide
from wsi_embed.slide.conformance import SlideConformance
from wsi_embed.slide.ome_zarr.detection import MOST_JSON
from wsi_embed.slide.ome_zarr.level import ZarrLevel
from wsi_embed.tiles.tile import tile

PIXELS = he_pixels(530, 610, seed=5)
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "0.4": lambda f: write_ome_zarr(f / "a.zarr", PIXELS, factors=(1, 2, 8), chunk=200),
    "0.4, as bioformats2raw": lambda f: write_ome_zarr(
        f / "a.zarr", PIXELS, axes="tczyx", planar=True, factors=(1, 4), chunk=256
    ),
    "0.5": lambda f: write_ome_zarr(f / "a.ome.zarr", PIXELS, "0.5", translated=True, chunk=200),
    "0.5, in shards, colours last": lambda f: write_ome_zarr(
        f / "a.ome.zarr", PIXELS, "0.5", axes="yxc", chunk=64, shards=(256, 256, 3)
    ),
    "0.5, x before y": lambda f: write_ome_zarr(f / "a.ome.zarr", PIXELS, "0.5", axes="xcy", factors=(1,)),
    "0.4, zipped": lambda f: zipped(write_ome_zarr(f / "made/a.zarr", PIXELS), f / "a.ozx"),
    "0.5, zipped folder": lambda f: zipped(
        write_ome_zarr(f / "made/a.zarr", PIXELS, "0.5"), f / "a.ozx", "a.ome.zarr/"
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a slide the first time it is asked for. Do not change it."""
    paths: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in paths:
            paths[name] = LAYOUTS[name](tmp_path_factory.mktemp("zarr"))
        return paths[name]

    return make


@pytest.mark.parametrize("name", LAYOUTS)
class TestConformance(SlideConformance):
    # levels of odd sizes are cut off, not stretched: thumbnails shift by up to a pixel
    pyramid_tolerance = 4.0

    @pytest.fixture
    def path(self, name: str, made: Callable[[str], Path]) -> Path:
        self.alone = "zip" in name
        return made(name)

    @pytest.fixture
    def level0(self, name: str) -> UInt8Array | None:
        return PIXELS


@pytest.mark.parametrize("name", LAYOUTS)
def test_facts(name: str, made: Callable[[str], Path]) -> None:
    with open_slide(made(name)) as slide:
        assert (slide.reader, slide.vendor) == ("zarr", "ome-zarr")
        assert slide.mpp == pytest.approx((0.5, 0.5))
        assert slide.level_scales == [(2.0**n, 2.0**n) for n in range(4) if 2.0**n in slide.level_downsamples]
        assert slide.warnings == slide.left_out == ()
        assert slide.usable_levels() == list(range(len(slide.level_sizes)))
        assert slide.decisive_levels is None
        assert slide.icc_profile() is None


def test_a_job_of_each_gives_the_features_of_the_same_pixels_in_a_tiff(
    tmp_path: Path, made: Callable[[str], Path]
) -> None:
    model = make_model(tmp_path)
    plain = write_tiff(tmp_path / "a.tif", PIXELS, mpp=0.5, levels=(1,))
    embed(plain, tmp_path / "truth.zarr", model=model, tissue="none")
    truth = arrays(tmp_path / "truth.zarr")
    for number, name in enumerate(LAYOUTS):
        out = tmp_path / f"{number}.zarr"
        assert embed(made(name), out, model=model, tissue="none").exit_code == 0
        found = arrays(out)
        for array in ("coords", "features"):
            mine = next(v for k, v in found.items() if k.endswith(f"/{array}"))
            np.testing.assert_array_equal(mine, truth[f"a/{array}"], err_msg=name)


def test_a_finished_slide_is_done_wherever_its_copy_is(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    folder = write_ome_zarr(tmp_path / "in/a.zarr", PIXELS)
    embed(tmp_path / "in", tmp_path / "out.zarr", model=model, tissue="none")
    shutil.copytree(folder, tmp_path / "other/a.zarr")
    again = embed(tmp_path / "other", tmp_path / "out.zarr", model=model, tissue="none")
    assert [slide.status for slide in again.slides] == ["skipped"]


def test_folders_manifests_and_info_name_the_folder(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "in/a.ome.zarr", PIXELS)
    facts, rows = describe(str(tmp_path / "in"))
    assert (facts["slides"], rows[0]["slide"], rows[0]["mpp"]) == (1, "a.ome.zarr", 0.5)
    facts, _ = describe(str(tmp_path / "in/a.ome.zarr"))
    assert (facts["kind"], facts["reader"], facts["levels"][0]) == ("slide", "zarr", "610 x 530 (1/1)")
    (tmp_path / "list.csv").write_text("path,slide_id\nin/a.ome.zarr,S-1\n")
    done = tile(tmp_path / "list.csv", tmp_path / "out", mpp=0.5, tile_px=64, tissue="none")
    assert [(slide.slide, slide.status) for slide in done.slides] == [("in/a.ome.zarr", "done")]
    assert len(list((tmp_path / "out/S-1").glob("*.png"))) == (610 // 64) * (530 // 64)


def test_the_current_folder_may_be_the_slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS)
    expected = open_slide(folder).fingerprint
    monkeypatch.chdir(folder)
    for path in (Path(), Path("../a.zarr")):
        with open_slide(path) as slide:
            assert (slide.read(0, 0, 0, 610, 530) == PIXELS).all()
            assert slide.fingerprint == expected


@pytest.mark.parametrize("reader", ["openslide", "tiff"])
def test_the_reader_of_another_format_is_refused(tmp_path: Path, reader: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS[:64, :64], factors=(1,))
    with pytest.raises(SlideError, match=rf"OME-Zarr is not for the reader {reader}; use `reader='auto'`"):
        open_slide(folder, reader)
    plain = write_tiff(tmp_path / "a.tif", PIXELS[:64, :64])
    with pytest.raises(SlideError, match=r"a\.tif: not an OME-Zarr; use `reader='auto'`"):
        open_slide(plain, "zarr")
    with open_slide(folder, "zarr") as slide:
        assert slide.reader == "zarr"


def test_a_chunk_that_several_tiles_need_is_decoded_once(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = ZarrLevel.decode

    def counted(self: ZarrLevel, chunk: int, out: UInt8Array) -> None:
        decoded.append(chunk)
        decode(self, chunk, out)

    with open_slide(made("0.4")) as slide:
        monkeypatch.setattr(ZarrLevel, "decode", counted)
        size = slide.level_sizes[0]
        grid = make_grid(ReadPlan(0, 90, 90, 1.0), (1.0, 1.0), size, (0, 0, *size), edge="pad")
        for row, pixels in slide.read_tiles(grid):
            x, y = grid.level_xy[row]
            part = PIXELS[y : y + 90, x : x + 90]
            assert (pixels[: part.shape[0], : part.shape[1]] == part).all()
    assert sorted(decoded) == list(range(4 * 3))


def test_a_chunk_that_is_not_stored_has_the_fill_value(tmp_path: Path) -> None:
    """Zarr leaves out chunks of nothing but the fill value, so they are no damage."""
    pixels = black_hole(PIXELS, 128, 128, 128)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, factors=(1, 2, 4), fill_value=0)
    assert not (folder / "0/0/1/1").exists()
    assert (folder / "0/0/1/2").exists()
    with open_slide(folder) as slide:
        assert (slide.read(0, 0, 0, 610, 530) == pixels).all()
        assert slide.warnings == ()


def test_chunks_of_level_0_that_its_levels_show_are_missed(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1, 2))
    shutil.rmtree(folder / "0/0/1")
    with open_slide(folder) as slide:
        (warning,) = slide.warnings
    assert "a.zarr: level 0 lacks tiles with content" in warning
    assert "which are read as the fill value (0); is a file of the slide missing" in warning


def test_a_level_that_lacks_chunks_is_left_out(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1, 2, 4))
    shutil.rmtree(folder / "1/0/1")
    with open_slide(folder) as slide:
        assert slide.level_sizes == [(610, 530), (152, 132)]
        assert any("it lacks 3 tiles, also where level 0 has content" in text for text in slide.warnings)
        assert slide.decisive_levels is not None


def test_a_damaged_chunk_is_one_clear_line(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    chunk = folder / "0/0/1/2"
    chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    with open_slide(folder) as slide:
        assert (slide.read(0, 0, 0, 128, 128) == PIXELS[:128, :128]).all()
        with pytest.raises(SlideError, match=r"a\.zarr: cannot be read \(chunk 1, 2 of 0: .*copy it again"):
            slide.read(0, 250, 100, 100, 100)


def test_a_zip_with_a_changed_byte_is_one_clear_line(tmp_path: Path) -> None:
    made = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    chunk = (made / "0/0/1/2").read_bytes()
    file = zipped(made, tmp_path / "a.ozx")
    content = bytearray(file.read_bytes())
    content[content.index(chunk) + len(chunk) // 2] ^= 1
    file.write_bytes(content)
    with open_slide(file) as slide, pytest.raises(SlideError, match=r"chunk 1, 2 of 0: Bad CRC-32"):
        slide.read(0, 0, 0, 610, 530)


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_truncated_zip_is_one_clear_line(tmp_path: Path, kept: float) -> None:
    file = zipped(write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,)), tmp_path / "a.ozx")
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(SlideError, match=r"a\.ozx: its zip archive is truncated or damaged .* copy it again"):
        open_slide(file)


def test_the_current_folder_is_a_slide_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,)))
    with open_slide(Path()) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 0, 610, 530), PIXELS)


def test_links_to_folders_are_followed_and_loops_of_them_end(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    plain = open_slide(folder)
    (folder / "0").rename(tmp_path / "elsewhere")
    (folder / "0").symlink_to(tmp_path / "elsewhere")
    (folder / "up").symlink_to(tmp_path)
    (folder / "self").symlink_to(folder)
    with plain, open_slide(folder) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 0, 610, 530), PIXELS)
        assert slide.fingerprint == plain.fingerprint


@pytest.mark.parametrize("path", ["./0", "0//", ".//0/.", "1/../0"])
def test_paths_of_levels_may_be_written_in_any_way(tmp_path: Path, path: str) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    file = folder / ".zattrs"
    file.write_text(file.read_text().replace('"path": "0"', f'"path": "{path}"'))
    assert path in file.read_text()
    with open_slide(folder) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 0, 610, 530), PIXELS)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_chunks_with_another_separator_than_the_metadata_say_are_none(
    tmp_path: Path, version: Literal["0.4", "0.5"]
) -> None:
    """Zarr does not find them and returns the fill value: a black slide."""
    folder = write_ome_zarr(tmp_path / "a.ome.zarr", PIXELS, version, factors=(1,))
    file = folder / ("0/.zarray" if version == "0.4" else "0/zarr.json")
    found = json.loads(file.read_text())
    if version == "0.4":
        found["dimension_separator"] = "."
    else:
        found["chunk_key_encoding"]["configuration"]["separator"] = "."
    file.write_text(json.dumps(found))
    with pytest.raises(SlideError, match=r"a\.ome\.zarr: .* 610 x 530 pixels, and 0 bytes of chunks; .*copy"):
        open_slide(folder)


def test_chunks_without_pixels_are_one_clear_line(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,))
    file = folder / "0/.zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chunks": [3, 0, 128]}))
    with pytest.raises(SlideError, match=r"a\.zarr: 0: its chunks have no pixels \(3 x 0 x 128\)"):
        open_slide(folder)


def test_a_zip_that_is_refused_before_its_pixels_are_read_is_one_clear_line(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", PIXELS, factors=(1,), mpp=(0.5, 1.0))
    with pytest.raises(SlideError, match=r"a\.ozx: its pixels are not square"):
        open_slide(zipped(folder, tmp_path / "a.ozx"))
    with pytest.raises(SlideError, match=r"b\.ozx: has no metadata of OME-Zarr"):
        open_slide(zipped(folder / "0", tmp_path / "b.ozx"))


def test_images_side_by_side_in_a_zip_are_not_chosen_from(tmp_path: Path) -> None:
    for name in "ab":
        write_ome_zarr(tmp_path / f"both/{name}.ome.zarr", PIXELS, factors=(1,))
    file = zipped(tmp_path / "both", tmp_path / "both.ozx")
    with pytest.raises(
        SlideError, match=r"both\.ozx: .* holds 2 images side by side \(a\.ome\.zarr, b\.ome\.zarr\); unpack"
    ):
        open_slide(file)


def test_metadata_that_would_fill_the_memory_are_not_unpacked(tmp_path: Path) -> None:
    """64 MiB of spaces are 64 KiB in an archive."""
    path = tmp_path / "a.ozx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zarr.json", b" " * (MOST_JSON + 1))
    with pytest.raises(SlideError, match=r"a\.ozx: has no metadata of OME-Zarr"):
        open_slide(path)
