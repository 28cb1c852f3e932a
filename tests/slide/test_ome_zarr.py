"""OME-Zarr: told from other folders, found, and refused by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.made_slides import he_pixels, write_tiff
from wsi_embed.diagnostics.describe import describe
from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs.folders import folder_files
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import open_slide
from wsi_embed.slide.ome_zarr import describes_ome, is_ome_zarr
from wsi_embed.tiles.tile import tile

MULTISCALES = [{"version": "0.4", "datasets": [{"path": "0"}, {"path": "1"}]}]
IMAGES: dict[str, tuple[str, Any]] = {
    "0.4": (".zattrs", {"multiscales": MULTISCALES, "omero": {}}),
    "0.5": ("zarr.json", {"zarr_format": 3, "attributes": {"ome": {"multiscales": MULTISCALES}}}),
    "0.4 in Zarr 3": ("zarr.json", {"zarr_format": 3, "attributes": {"multiscales": MULTISCALES}}),
    "bioformats2raw": (".zattrs", {"bioformats2raw.layout": 3}),
    "bioformats2raw 0.5": (
        "zarr.json",
        {"zarr_format": 3, "attributes": {"ome": {"bioformats2raw.layout": 3}}},
    ),
    "plate": (".zattrs", {"plate": {"rows": []}}),
}
OTHERS: dict[str, tuple[str, Any]] = {
    "features": ("zarr.json", {"zarr_format": 3, "attributes": {"format_version": 1, "model": {}}}),
    "AnnData": (".zattrs", {"encoding-type": "anndata"}),
    "mask": (".zattrs", {"multiscales": MULTISCALES, "image-label": {}}),
    "array": ("zarr.json", {"zarr_format": 3, "node_type": "array"}),
    "list": (".zattrs", []),
}


def make(folder: Path, name: str, document: Any) -> Path:
    """A Zarr folder, with chunks whose names could be those of DICOM files."""
    (folder / "0" / "0").mkdir(parents=True)
    (folder / name).write_text(json.dumps(document))
    (folder / "0" / "0" / "0").write_bytes(b"chunk")
    return folder


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("name", ["a.zarr", "a.ome.zarr", "a"])
def test_an_image_among_slides_is_found_and_fails_by_name(tmp_path: Path, kind: str, name: str) -> None:
    image = make(tmp_path / "sub" / name, *IMAGES[kind])
    make(image / "0" / "labels", *IMAGES["0.4"])
    write_tiff(tmp_path / "b.tif", he_pixels(64, 64))
    found = find_slides([tmp_path])
    assert [item.name for item in found] == ["b.tif", f"sub/{name}"]
    assert [item.name for item in find_slides([image])] == [name]
    with pytest.raises(
        SlideError, match=rf"{name}: OME-Zarr is a format that nothing here reads; convert it"
    ):
        open_slide(image)
    with pytest.raises(SlideError, match="OME-Zarr"):
        describe(str(image))
    with pytest.raises(UsageError, match="OME-Zarr is a format that nothing here reads"):
        folder_files(image)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_zarr_folders_are_none(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path / "in" / "a.zarr", *OTHERS[kind])
    assert not is_ome_zarr(folder)
    with pytest.raises(UsageError, match="no slides found"):
        find_slides([tmp_path / "in"])


def test_the_name_tells_where_the_metadata_cannot(tmp_path: Path) -> None:
    (tmp_path / "a.OME.zarr").mkdir()
    (tmp_path / "b.zarr").mkdir()
    assert [item.name for item in find_slides([tmp_path])] == ["a.OME.zarr"]
    (tmp_path / "b.zarr" / ".zattrs").write_text('{"multiscales"')
    assert not is_ome_zarr(tmp_path / "b.zarr")


@pytest.mark.parametrize("document", [b"", b"\xff", b"7", b"[" * 100_000])
def test_metadata_of_any_content_are_looked_at(document: bytes) -> None:
    assert not describes_ome(document)


@pytest.mark.parametrize("name", ["a.ozx", "a.zarr.zip", "a.ome.zarr.ZIP"])
def test_a_zipped_image_fails_by_name(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as packed:
        packed.writestr("zarr.json", "{}")
    (item,) = find_slides([tmp_path])
    with pytest.raises(SlideError, match="OME-Zarr is a format that nothing here reads"):
        open_slide(item.path)


@pytest.mark.parametrize("name", ["a.svs.gz", "a.TIF.zip", "a.ome.tiff.zst", "a.dcm.bz2", "a.ndpi.xz"])
def test_a_packed_slide_fails_by_name(tmp_path: Path, name: str) -> None:
    for other in ("notes.zip", "a.csv.gz", "a.png.gz", "tiles.zip"):
        (tmp_path / other).write_bytes(b"packed")
    (tmp_path / name).write_bytes(b"packed")
    (item,) = find_slides([tmp_path])
    with pytest.raises(
        SlideError, match=rf"{name}: compressed as a whole, .* unpack {name[:-4].rstrip('.')}"
    ):
        open_slide(item.path)


def test_the_other_slides_go_on(tmp_path: Path) -> None:
    make(tmp_path / "in" / "a.zarr", *IMAGES["0.4"])
    write_tiff(tmp_path / "in" / "b.tif", he_pixels(64, 64), mpp=0.5)
    done = tile(tmp_path / "in", tmp_path / "out", mpp=0.5, tile_px=32, tissue="none")
    assert [slide.status for slide in done.slides] == ["failed", "done"]
    assert str(done.slides[0].reason).startswith("a.zarr: OME-Zarr is a format that nothing here reads")
    assert done.exit_code == 1
