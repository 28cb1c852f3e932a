"""OME-Zarr: told from other folders and archives, and found."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.made_formats.ome_zarr import write_ome_zarr, zipped
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.errors import SlideError, UsageError
from wsi_embed.inputs.folders import folder_files
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide import open_slide
from wsi_embed.slide.ome_zarr.detection import describes_ome, files_of, is_ome_zarr, is_zipped_ome_zarr

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
SMALL = he_pixels(64, 80)


def make(folder: Path, name: str, document: Any) -> Path:
    """A Zarr folder, with chunks whose names could be those of DICOM files."""
    (folder / "0" / "0").mkdir(parents=True)
    (folder / name).write_text(json.dumps(document))
    (folder / "0" / "0" / "0").write_bytes(b"chunk")
    return folder


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("name", ["a.zarr", "a.ome.zarr", "a"])
def test_an_image_among_slides_is_one_slide_and_not_searched(tmp_path: Path, kind: str, name: str) -> None:
    image = make(tmp_path / "sub" / name, *IMAGES[kind])
    make(image / "0" / "labels", *IMAGES["0.4"])
    write_tiff(tmp_path / "b.tif", he_pixels(64, 64))
    found = find_slides([tmp_path])
    assert [item.name for item in found] == ["b.tif", f"sub/{name}"]
    assert [item.name for item in find_slides([image])] == [name]
    with pytest.raises(SlideError, match=rf"{name}: "):  # nothing here has pixels
        open_slide(image)
    with pytest.raises(UsageError, match=r"is a slide \(OME-Zarr\), not a folder of files"):
        folder_files(image)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_zarr_folders_are_none(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path / "in" / "a.zarr", *OTHERS[kind])
    assert not is_ome_zarr(folder)
    with pytest.raises(UsageError, match="no slides found"):
        find_slides([tmp_path / "in"])
    with pytest.raises(SlideError, match="is a folder, not a slide"):
        open_slide(folder)


def test_the_name_tells_where_the_metadata_cannot(tmp_path: Path) -> None:
    (tmp_path / "a.OME.zarr").mkdir()
    (tmp_path / "b.zarr").mkdir()
    assert [item.name for item in find_slides([tmp_path])] == ["a.OME.zarr"]
    with pytest.raises(SlideError, match=r"a\.OME\.zarr: has no metadata of OME-Zarr.* copy it again"):
        open_slide(tmp_path / "a.OME.zarr")
    (tmp_path / "b.zarr" / ".zattrs").write_text('{"multiscales"')
    assert not is_ome_zarr(tmp_path / "b.zarr")


@pytest.mark.parametrize("document", [b"", b"\xff", b"7", b"[" * 100_000])
def test_metadata_of_any_content_are_looked_at(document: bytes) -> None:
    assert not describes_ome(document)


@pytest.mark.parametrize("name", ["a.ozx", "a.zarr.zip", "a.ome.zarr.ZIP"])
@pytest.mark.parametrize("inside", ["", "a.zarr/"])
def test_a_zipped_image_is_found_by_name_and_read(tmp_path: Path, name: str, inside: str) -> None:
    folder = write_ome_zarr(tmp_path / "made.zarr", SMALL, factors=(1,))
    (tmp_path / "in").mkdir()
    zipped(folder, tmp_path / "in" / name, inside)
    (item,) = find_slides([tmp_path / "in"])
    with open_slide(item.path) as slide:
        assert (slide.read(0, 0, 0, 80, 64) == SMALL).all()


def test_the_content_of_an_archive_tells_where_its_name_does_not(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "made.zarr", SMALL, factors=(1,))
    assert is_zipped_ome_zarr(zipped(folder, tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as packed:
        packed.writestr("notes.txt", "no Zarr")
    assert not is_zipped_ome_zarr(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:-100])
    assert not is_zipped_ome_zarr(tmp_path / "c.zip")
    with pytest.raises(SlideError, match=r"b\.zip: .*a zip archive; unpack it"):
        open_slide(tmp_path / "b.zip")


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


def test_label_images_and_what_macos_leaves_are_no_part_of_the_slide(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.zarr", SMALL, factors=(1,))
    before, names = open_slide(folder).fingerprint, files_of(folder)
    write_ome_zarr(folder / "labels" / "cells", SMALL, factors=(1,))
    for name in (".DS_Store", "0/._0"):  # of macOS
        (folder / name).write_bytes(b"x")
    assert files_of(folder) == names
    assert open_slide(folder).fingerprint == before
    assert [item.path for item in find_slides([tmp_path])] == [folder]
