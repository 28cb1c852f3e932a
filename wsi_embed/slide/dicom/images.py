"""Descriptions of a DICOM slide's levels from the metadata of its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from wsi_embed.errors import SlideError
from wsi_embed.slide.dicom.check import OF_GLASS, SLIDE_IMAGE
from wsi_embed.slide.dicom.files import dicom_series, named_as_dicom
from wsi_embed.slide.dicom.frames import frame_places
from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instance, dicom_instances, without_copies
from wsi_embed.slide.levels.choice import SAME_MPP, LevelImage
from wsi_embed.slide.levels.missing_tiles import StoredTiles, TilesOf

# Files in folders nearby that are considered as parts of a series.
MOST_NEARBY = 1024


def dicom_levels(path: Path, sizes: Sequence[tuple[int, int]]) -> list[LevelImage]:
    """Describe OpenSlide's levels of a DICOM slide.

    Args:
        path: One of the slide's files.
        sizes: (width, height) of OpenSlide's levels, pixels.

    Raises:
        SlideError: If level 0 shows the label of the slide.
        OSError: If a file cannot be read.
    """
    volumes = [instance for instance in without_copies(dicom_instances(path)) if instance.is_volume]
    if shown := next((found for found in volumes if found.matrix == sizes[0] and found.label), None):
        raise SlideError(
            f"it may show the name of a patient, as its {shown.label} is YES",
            where=shown.path,
            remedy="export it without the label; if it shows none, set that to NO",
        )
    return [_level(number, size, volumes) for number, size in enumerate(sizes)]


def ignored_images(path: Path) -> list[str]:
    """Describe the images of a DICOM slide that are no levels and no pictures of the glass, by ImageType.

    Args:
        path: One of the slide's files.

    Raises:
        OSError: If a file cannot be read.
    """
    return [
        f"{found.path.name} ({found.matrix[0]} x {found.matrix[1]}): its ImageType is "
        f"{'/'.join(found.image_type) or 'empty'}"
        for found in without_copies(dicom_instances(path))
        if found.sop_class == SLIDE_IMAGE
        and not found.is_volume
        and not OF_GLASS & set(map(str.upper, found.image_type))
    ]


def dicom_tiles(path: Path, sizes: Sequence[tuple[int, int]]) -> TilesOf:
    """Return a function that finds the tiles of OpenSlide's levels of a DICOM slide.

    Args:
        path: One of the slide's files.
        sizes: (width, height) of OpenSlide's levels, pixels.
    """

    def tiles_of(number: int) -> StoredTiles | None:
        parts = [part for part in without_copies(dicom_instances(path)) if part.matrix == sizes[number]]
        parts = [part for part in parts if part.is_volume]
        if not parts or len({part.tile for part in parts}) > 1:
            return None
        (width, height), tile = sizes[number], parts[0].tile
        there = np.zeros((-(-height // tile[1]), -(-width // tile[0])), np.int64)
        if sum(part.frames for part in parts) >= there.size:
            return StoredTiles(there + 1, tile)
        for part in parts:
            columns, rows = (frame_places(part) // tile).T
            there[rows, columns] = 1
        return StoredTiles(there, tile)

    return tiles_of


def _level(number: int, size: tuple[int, int], volumes: Sequence[DicomInstance]) -> LevelImage:
    found = [instance for instance in volumes if instance.matrix == size]
    images = {instance.concatenation or instance.path.name for instance in found}
    if len(images) != 1:
        return LevelImage(f"level {number}", size)
    instance = found[0]
    origin = None if instance.origin is None else (instance.origin[0] * 1000, instance.origin[1] * 1000)
    return LevelImage(
        name=instance.path.name,
        size=size,
        tile=instance.tile,
        mpp=instance.mpp,
        origin=origin,
        role=next((f"a picture of the label ({each.label})" for each in found if each.label), None),
        orientation=instance.orientation,
        # programs write it in upper or lower case
        container=instance.container and instance.container.casefold(),
    )


def further_scans(images: Sequence[LevelImage], levels: Sequence[int]) -> list[str]:
    """Return the names of images at level 0's resolution that are not levels: further areas of the glass.

    Args:
        images: All images, level 0 first.
        levels: Indices of the levels among them.
    """
    first = images[0].mpp
    return [
        f"{image.name} ({image.size[0]} x {image.size[1]})"
        for number, image in enumerate(images)
        if number not in levels and first and image.mpp and abs(image.mpp[0] / first[0] - 1) < SAME_MPP
    ]


def series_warnings(path: Path, level0: tuple[int, int]) -> list[str]:
    """Return warnings about a series that seems to lack its finest level.

    Args:
        path: One of the slide's files.
        level0: (width, height) of OpenSlide's finest level, pixels.

    Raises:
        SlideError: If a finer level of the series is in a folder nearby.
        OSError: If a file cannot be read.
    """
    finest = [found for found in dicom_instances(path) if found.matrix == level0 and found.is_volume]
    if not finest or not all("RESAMPLED" in found.image_type for found in finest):
        return []
    if finer := _finer_nearby(path.absolute(), level0):
        raise SlideError(
            f"its series is split: a finer level, {finer.name}, is in another folder nearby",
            where=path,
            remedy="copy all files of the series into one folder",
        )
    return [
        f"{path.name}: ImageType of its finest level, {finest[0].path.name}, is RESAMPLED: a finer one may "
        "be missing; copy all files of the series into one folder"
    ]


def _finer_nearby(path: Path, level0: tuple[int, int]) -> Path | None:
    """Return a finer level of a slide's series in the folder above its own, or in one beside it, or None."""
    series, folder = dicom_series(path), path.parent
    walk = (Path(root) / name for root, _, files in os.walk(folder.parent) for name in files)
    nearby = (file for file in islice(walk, MOST_NEARBY) if file.parent != folder and named_as_dicom(file))
    for file in nearby:
        try:
            found = dicom_instance(file) if dicom_series(file) == series else None
        except OSError:  # it is no part of this slide
            continue
        if found is not None and found.is_volume and found.matrix[0] > level0[0]:
            return file
    return None
