"""Directories of TIFF files: what tifffile finds in good ones, and no trust in bad ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.made_formats.jpeg_tiles import Kind, write_jpeg_slide
from tests.made_formats.tiffs import write_aperio, write_leica, write_ome, write_philips
from tests.made_slides import he_pixels
from wsi_embed.errors import SlideError
from wsi_embed.slide.tiff import tags
from wsi_embed.slide.tiff.directory import Directory, TiffFile
from wsi_embed.slide.tiff.precheck import open_tiff
from wsi_embed.slide.tiff.tags import TiffError

PIXELS = he_pixels(300, 400, seed=2)
BIG: dict[str, Callable[[Path], Path]] = {
    "classic": lambda p: write_jpeg_slide(p, PIXELS, Kind(tables=True), tile=64),
    "big endian": lambda p: write_jpeg_slide(p, PIXELS, byteorder=">"),
    "big": lambda p: write_jpeg_slide(p, PIXELS, bigtiff=True, subifds=True),
    "big, big endian": lambda p: write_jpeg_slide(p, PIXELS, bigtiff=True, byteorder=">"),
    "aperio": lambda p: write_aperio(p, PIXELS, "jpeg 4:2:0"),
    "ome": lambda p: write_ome(p, PIXELS),
    "philips": lambda p: write_philips(p, PIXELS),
    "leica": lambda p: write_leica(p, PIXELS[:256, :256], offset=(0, 0), slide=(400, 400)),
}


def test_the_tags_that_are_read_are_those_with_a_name() -> None:
    named = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)}
    assert named - {tags.TEXT, tags.FRACTION, tags.ANY, tags.REDUCED, tags.MASK} == tags.READ


@pytest.mark.parametrize("name", BIG)
def test_directories_are_those_that_tifffile_finds(name: str, tmp_path: Path) -> None:
    path = BIG[name](tmp_path / "a.tif")
    with TiffFile(path) as file, tifffile.TiffFile(path) as other:
        found = file.directories()
        assert len(found) == len(other.pages)
        for directory, page in zip(found, other.pages, strict=True):
            assert_same(directory, page.aspage())
        for offset, page in zip(
            found[0].numbers(tags.SUB_IFDS, 9), other.pages.first.pages or (), strict=True
        ):
            assert_same(file.directory(int(offset)), page.aspage())


def assert_same(directory: Directory, page: tifffile.TiffPage) -> None:
    assert set(directory.tags) == {tag.code for tag in page.tags}
    assert directory.tiled == page.is_tiled
    for tag in page.tags:
        if tag.code == tags.JPEG_TABLES:
            assert directory.bytes(tag.code, 10_000) == tag.value
        elif tag.code == tags.IMAGE_DESCRIPTION:
            assert directory.bytes(tag.code, 10_000).decode().strip("\0 ") == tag.value
        elif tag.code in (tags.X_RESOLUTION, tags.Y_RESOLUTION):
            assert directory.fraction(tag.code) == tag.value[0] / tag.value[1]
        elif tag.code in tags.READ:
            expected = np.atleast_1d(np.array(tag.value, np.int64))
            assert directory.numbers(tag.code, 10_000).tolist() == expected.tolist()
    assert directory.number(tags.IMAGE_WIDTH) == page.imagewidth
    assert directory.number(12345, 7) == 7
    assert directory.numbers(12345, 1).tolist() == []
    assert directory.bytes(12345, 1) == b""


def made(
    entries: list[tuple[int, int, int, int]],
    *,
    following: int = 0,
    more: bytes = b"",
    count: int | None = None,
) -> bytes:
    """A classic TIFF of one directory at byte 8."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    number = struct.pack("<H", len(entries) if count is None else count)
    return b"II*\0" + struct.pack("<I", 8) + number + table + struct.pack("<I", following) + more


LIES: dict[str, tuple[bytes, str]] = {
    "no TIFF": (b"PNG of no use", "it is no TIFF"),
    "short": (b"II*\0\x08", "it ends before byte 8"),
    "loop": (made([], following=8), "its directories form a loop"),
    "further loop": (made([], following=14, more=struct.pack("<HI", 0, 8)), "its directories form a loop"),
    "directory beyond the end": (made([], following=10**9), "it ends before byte"),
    "cut": (made([(256, 4, 1, 5)])[:20], "it ends before byte"),
    "many tags": (made([], count=60000), "a directory of 60000 tags"),
    "more tags than there are": (made([], count=4000), "it ends before byte"),
    "twice": (made([(256, 4, 1, 5), (256, 4, 1, 9)]), "it has tag 256 twice"),
}


@pytest.mark.parametrize("name", LIES)
def test_directories_that_make_no_sense_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    content, reason = LIES[name]
    path.write_bytes(content)

    def read() -> None:
        with TiffFile(path) as file:
            file.directories()

    with pytest.raises(TiffError, match=reason):
        read()


VALUES: dict[str, tuple[tuple[int, int, int, int], str]] = {
    "many": ((256, 4, 2**31, 8), "tag 256 has 2147483648 values"),
    "two": ((256, 3, 2, 0), "tag 256 has 2 values"),
    "a fraction": ((256, 5, 1, 8), "tag 256 is no number"),
    "text": ((256, 2, 1, 8), "tag 256 is no number"),
    "bytes": ((256, 7, 1, 8), "tag 256 is no number"),
    "negative": ((256, 9, 1, 2**32 - 1), "tag 256 is beyond all measure"),
    "beyond the end": ((256, 16, 1, 5000), "it ends before byte 5008"),
    "partly beyond the end": ((256, 16, 1, 20), "it ends before byte 28"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_make_no_sense_are_refused(name: str, tmp_path: Path) -> None:
    entry, reason = VALUES[name]
    path = tmp_path / "a.tif"
    path.write_bytes(made([entry]))
    with TiffFile(path) as file:
        (directory,) = file.directories()  # nobody asked for the value yet
        with pytest.raises(TiffError, match=reason):
            directory.number(256)


def test_more_directories_than_any_slide_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsi_embed.slide.tiff.directory.MOST_DIRECTORIES", 5)
    path = tmp_path / "a.tif"
    for directories in (5, 6):
        chain = [struct.pack("<HI", 0, 8 + 6 * (i + 1)) for i in range(directories - 1)]
        path.write_bytes(b"II*\0" + struct.pack("<I", 8) + b"".join(chain) + struct.pack("<HI", 0, 0))
        with TiffFile(path) as file:
            if directories == 5:
                assert len(file.directories()) == 5
            else:
                with pytest.raises(TiffError, match="loop"):
                    file.directories()


def test_a_closed_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(made([]))
    file = TiffFile(path)
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.read(0, 4)


# What must not reach OpenSlide


def patched(path: Path, level: int = 0, **values: Any) -> Path:
    with tifffile.TiffFile(path, mode="r+") as tif:
        for tag, value in values.items():
            tif.pages[level].aspage().tags[tag].overwrite(value)
    return path


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "large tiles": ({"TileWidth": 9000, "TileLength": 9000}, "400 x 300 pixels in tiles of 9000 x 9000"),
    "huge tiles": ({"TileWidth": 2**31, "TileLength": 2**31}, "in tiles of 2147483648 x 2147483648"),
    "no tiles": ({"TileWidth": 0}, "400 x 300 pixels in tiles of 0 x 256"),
    "no pixels": ({"ImageLength": 0}, "400 x 0 pixels"),
    "tiles beyond the file": (
        {"TileByteCounts": [1, 2, 2**32 - 1, 3]},
        "a tile of 4294967295 bytes in a file of",
    ),
    "too few places": ({"TileOffsets": [8, 8, 8]}, "places of 3 tiles where there should be 4"),
    "too few sizes": ({"TileByteCounts": 5}, "places of 1 tiles where there should be 4"),
    "a taller image": ({"ImageLength": 5000}, "places of 4 tiles where there should be 40"),
    "a huge image": ({"ImageLength": 2**30}, "400 x 1073741824 pixels in"),
    "many places": ({"TileOffsets": [8] * 33}, "places of 33 tiles where there should be 4"),
    "many tiles": (
        {"ImageWidth": 20000, "ImageLength": 9000, "TileWidth": 1, "TileLength": 1},
        "180000000 tiles",
    ),
}


@pytest.mark.parametrize("encoding", ["jpeg 4:2:0", "deflate"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_end_the_process_is_refused(name: str, encoding: str, tmp_path: Path) -> None:
    path = write_aperio(tmp_path / "a.svs", PIXELS, encoding)
    open_tiff(path)
    values, reason = REFUSED[name]
    with pytest.raises(SlideError, match=rf"a\.svs: cannot be read \([^)]*{reason}"):
        open_tiff(patched(path, **values))


def test_other_levels_are_looked_at_too(tmp_path: Path) -> None:
    path = write_aperio(tmp_path / "a.svs", PIXELS, "jpeg 4:2:0")
    with pytest.raises(SlideError, match="in tiles of 9000 x 9000"):
        open_tiff(patched(path, 2, TileWidth=9000, TileLength=9000))


@pytest.mark.parametrize(
    ("aperio", "missing", "refused"), [(True, {0: [1]}, True), (True, {}, False), (False, {0: [1]}, False)]
)
def test_levels_that_grow_are_refused_where_openslide_would_divide_by_them(
    aperio: bool, missing: dict[int, list[int]], refused: bool, tmp_path: Path
) -> None:
    path = write_jpeg_slide(
        tmp_path / "a.svs", PIXELS, tile=32, factors=(4, 1), aperio=aperio, missing=missing
    )
    if refused:
        with pytest.raises(SlideError, match="its levels are not in order"):
            open_tiff(path)
    else:
        open_tiff(path)


@pytest.mark.parametrize("content", [b"", b"II", b"text of no meaning", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_tiff_passes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(content)
    open_tiff(tmp_path / "a.svs")


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        (11, struct.pack("<f", 20_000.5), 20_000.5),
        (12, struct.pack("<d", 39_682.54), 39_682.54),
        (3, struct.pack("<HH", 20_000, 0), 20_000.0),
        (4, struct.pack("<I", 40_000), 40_000.0),
        (5, struct.pack("<II", 80_001, 2), 40_000.5),
        (5, struct.pack("<II", 1, 0), None),
        (11, struct.pack("<f", float("nan")), None),
        (11, struct.pack("<f", float("inf")), None),
        (11, struct.pack("<f", -1.0), None),
        (3, bytes(4), None),
    ],
)
def test_a_resolution_may_be_stored_as_any_number(
    kind: int, value: bytes, number: float | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    inline = len(value) <= 4
    after = 8 + 2 + 12 + 4  # the values follow the directory
    (field,) = struct.unpack("<I", value if inline else struct.pack("<I", after))
    path.write_bytes(made([(282, kind, 1, field)], more=b"" if inline else value))
    with TiffFile(path) as file:
        assert file.directories()[0].fraction(282) == number


def test_a_resolution_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(made([(282, 2, 4, 0)]))
    with TiffFile(path) as file, pytest.raises(TiffError, match="tag 282"):
        file.directories()[0].fraction(282)
