"""Tile images and slides of a training source, and the columns of its CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.inputs.folders import folder_files
from wsi_embed.inputs.slides import SlideInput, check_here, manifest_slide, slide_of_folder, unique_slides
from wsi_embed.inputs.tables import MANIFEST_COLUMNS, MANIFEST_SUFFIXES, read_manifest
from wsi_embed.slide.ome_zarr.detection import is_ome_zarr
from wsi_embed.slide.tile_images import PLAIN_SUFFIXES, is_tile_image

LOOKING, CHUNK = 8, 4096  # number of threads that check files, and of files they get at a time


@dataclass
class Source:
    """Tile images and slides of a source, each sorted by name.

    Attributes:
        name: Name of the folder or file, without its parent folders.
        root: Folder to which the names of images are relative.
        images: Names of the tile images.
        slides: The slides, each once.
        image_labels: Labels of the images in the CSV, empty if missing.
        slide_labels: Labels of the slides in the CSV, by slide id.
        image_slides: Values of the column `slide_id` of images.
        image_mpps: Values of the column `mpp` of images.
        columns: Columns of the CSV; None without a CSV.
    """

    name: str
    root: Path
    images: list[str] = field(default_factory=list)
    slides: list[SlideInput] = field(default_factory=list)
    image_labels: list[str] = field(default_factory=list)
    slide_labels: dict[str, str] = field(default_factory=dict)
    image_slides: set[str] = field(default_factory=set)
    image_mpps: set[float] = field(default_factory=set)
    columns: list[str] | None = None


def find_source(path: Path, split: str | None = None) -> Source:
    """List the images and slides of a training source without decoding them.

    Args:
        path: A folder (searched at any depth), a slide, a tile image, or a CSV with a column `path`
            (relative to the CSV) and optional columns `split`, `label`, `mpp` and `slide_id`.
        split: Value of the column `split` of the CSV; other rows are ignored.

    Raises:
        UsageError: If the source is missing or empty, lacks a column, or two slides have the same id.
    """
    if path.is_file() and path.suffix.lower() in MANIFEST_SUFFIXES:
        return _of_csv(path, split)
    if split is not None:
        raise UsageError(f"`split=` needs a CSV with a column `split`, and {path.name} is not a CSV")
    if path.is_dir() and not is_ome_zarr(path):
        source = _of_folder(path)
    elif path.exists():
        source = _sorted_out(Source(path.name, path.parent), [path])
    else:
        raise UsageError(
            "no such file or folder",
            where=path,
            remedy="give slides, a folder of tile images, or a CSV that lists them",
        )
    return source


def _of_folder(folder: Path) -> Source:
    source = Source(folder.resolve().name, folder)
    files = folder_files(folder, PLAIN_SUFFIXES)
    if not files:
        raise UsageError("no tile images found, and no slides", where=folder)
    return _sorted_out(source, files)


def _sorted_out(source: Source, files: Sequence[Path]) -> Source:
    slides = []
    for path, is_image in zip(files, look_at(files), strict=True):
        if is_image:
            source.images.append(path.relative_to(source.root).as_posix())
        else:
            slides.append(slide_of_folder(source.root, path))
    source.slides = unique_slides(slides)
    return source


def look_at(files: Sequence[Path]) -> Iterable[bool]:
    """Yield whether each file is a tile image. Uses threads, because files on a network have a latency."""
    with ThreadPoolExecutor(LOOKING, "wsi-embed-look") as pool:
        for start in range(0, len(files), CHUNK):
            yield from pool.map(is_tile_image, files[start : start + CHUNK])


def _of_csv(path: Path, split: str | None) -> Source:
    rows = read_manifest(path, (*MANIFEST_COLUMNS, ("label",), ("split",)))
    columns = [name for name in rows[0][1] if name] if rows else []
    source = Source(path.name, path.parent, columns=columns)
    rows = _of_split(source, rows, split)
    if not rows:
        raise UsageError("lists no tile images and no slides", where=path.name)
    slides: list[SlideInput] = []
    images: set[tuple[str, str]] = set()  # an image listed twice is one tile
    files = [source.root / _text(row, "path") for _, row in rows]
    for (number, row), is_image in zip(rows, look_at(files), strict=True):
        if not is_image or not _text(row, "path"):  # manifest_slide reports an empty path
            slides.append(manifest_slide(path, number, row))
            check_here(slides[-1])
            _label_slide(source, slides[-1].slide_id, _text(row, "label"))
            continue
        images.add((_text(row, "path"), _text(row, "label")))
        if slide_id := _text(row, "slide_id"):
            source.image_slides.add(slide_id)
        if mpp := _text(row, "mpp"):
            source.image_mpps.add(_number(f"{path.name}, row {number}", mpp))
    for name, label in sorted(images):
        source.images.append(name)
        source.image_labels.append(label)
    source.slides = unique_slides(slides)
    return source


def _of_split(
    source: Source, rows: list[tuple[int, dict[str, Any]]], split: str | None
) -> list[tuple[int, dict[str, Any]]]:
    if split is None:
        return rows
    if source.columns and "split" not in source.columns:
        raise UsageError(f"no column 'split'; it has {', '.join(source.columns)}", where=source.name)
    there = sorted({_text(row, "split") for _, row in rows} - {""})
    found = [(number, row) for number, row in rows if _text(row, "split") == split]
    if rows and not found:
        raise UsageError(
            f"no row has the split {split!r}; there are {', '.join(there[:10]) or 'none'}", where=source.name
        )
    return found


def _label_slide(source: Source, slide_id: str, label: str) -> None:
    if source.slide_labels.setdefault(slide_id, label) != label:
        raise UsageError(
            f"slide {slide_id} is given twice, with different labels", where=source.name, remedy="keep one"
        )


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _number(where: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"mpp {text!r} is not a number", where=where) from error
