"""DICOM whole-slide images by pydicom (PS3.3, A.32.8): several levels, files and kinds of tiling."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    VLWholeSlideMicroscopyImageStorage,
    generate_uid,
)

from tests.made_formats.pixels import UInt8Array, jpeg, jpeg2000, jpeg_rgb, shrunk, tiles

MPP = 0.5
SIDE = 256
# (transfer syntax, photometric interpretation, encoder)
CODINGS: dict[str, tuple[UID, str, Callable[[UInt8Array], bytes]]] = {
    "none": (ExplicitVRLittleEndian, "RGB", lambda p: p.tobytes()),
    "jpeg": (JPEGBaseline8Bit, "YBR_FULL_422", jpeg),
    "jpeg 4:2:0": (JPEGBaseline8Bit, "YBR_FULL_422", lambda p: jpeg(p, subsampling="420")),
    "jpeg RGB": (JPEGBaseline8Bit, "RGB", jpeg_rgb),
    "jpeg 2000": (JPEG2000, "RGB", jpeg2000),
    "jpeg 2000 lossless": (JPEG2000Lossless, "RGB", jpeg2000),
}
Tiling = Literal["TILED_FULL", "TILED_SPARSE"]
Table = Literal["basic", "extended", "none"]


def write_dicom(
    folder: Path,
    pixels: UInt8Array,
    coding: str = "jpeg",
    *,
    tiling: Tiling = "TILED_FULL",
    factors: Sequence[int] = (1, 4),
    parts: int = 1,
    missing: Collection[int] = (),
    mpp: tuple[float, float] = (MPP, MPP),
    suffix: str = ".dcm",
    series: str | None = None,
    profile: bytes | None = None,
    table: Table = "basic",
    fragments: int = 1,
) -> list[Path]:
    """Write a series: a file for each level and a label.

    Args:
        folder: Where to; made.
        pixels: Level 0.
        coding: A key of CODINGS.
        tiling: How frames say where they lie; TILED_SPARSE may leave some out.
        factors: Downsample of each level.
        parts: Files that share level 0 (a concatenation).
        missing: Numbers of level 0's frames that are left out.
        mpp: (x, y) of level 0.
        suffix: Of the files' names; "" for none.
        series: SeriesInstanceUID.
        profile: ICC profile.
        table: Table of the frames' offsets in level 0.
        fragments: Fragments that each frame of level 0 is in.

    Returns:
        The files: level 0 first, the label last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = series or generate_uid()
    written = []
    for factor in factors:
        image = shrunk(pixels, factor)
        frames = dict(enumerate(tiles(image, SIDE)))
        if factor == 1:
            frames = {n: f for n, f in frames.items() if n not in missing}
        source, count = generate_uid(), parts if factor == 1 else 1
        numbers = np.array_split(list(frames), count)
        for part, chosen in enumerate(numbers):
            data = _image(image, {int(n): frames[int(n)] for n in chosen}, coding, tiling, profile)
            if factor == 1 and coding != "none":
                _encapsulate(data, [CODINGS[coding][2](frames[int(n)]) for n in chosen], table, fragments)
            data.SeriesInstanceUID = series
            flavour = "NONE" if factor == 1 else "RESAMPLED"
            data.ImageType = ["ORIGINAL" if factor == 1 else "DERIVED", "PRIMARY", "VOLUME", flavour]
            measures = Dataset()
            # rows first: the distance between rows is y
            measures.PixelSpacing = [mpp[1] * factor / 1000, mpp[0] * factor / 1000]
            data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = Items([measures])
            if count > 1:
                data.ConcatenationUID = source
                data.SOPInstanceUIDOfConcatenationSource = source
                data.InConcatenationNumber = part + 1
                data.ConcatenationFrameOffsetNumber = sum(map(len, numbers[:part]))
            written.append(_write(folder / f"{factor}_{part}{suffix}", data, coding))
    label = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
    data = _image(label, {0: label}, coding, "TILED_FULL", None)
    data.SeriesInstanceUID = series
    data.ImageType = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    written.append(_write(folder / f"label{suffix}", data, coding))
    return written


def write_dicom_images(
    folder: Path,
    images: Sequence[tuple[UInt8Array, tuple[float, float], dict[str, Any]]],
    *,
    coding: str = "jpeg",
    side: int = SIDE,
) -> list[Path]:
    """Write a series whose levels are given one by one.

    Args:
        folder: Where to; made.
        images: Pixels, micrometres per pixel (x, y) and further attributes of each level, level 0 first.
        coding: A key of CODINGS.
        side: Side of the frames, pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series, written = generate_uid(), []
    for number, (image, mpp, facts) in enumerate(images):
        data = _image(image, dict(enumerate(tiles(image, side))), coding, "TILED_FULL", None, side)
        data.SeriesInstanceUID = series
        data.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        if number == 0:
            data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        measures = Dataset()
        measures.PixelSpacing = [mpp[1] / 1000, mpp[0] / 1000]
        data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = Items([measures])
        for name, value in facts.items():
            setattr(data, name, value)
        written.append(_write(folder / f"level{number}.dcm", data, coding))
    return written


def _image(
    image: UInt8Array,
    frames: dict[int, UInt8Array],
    coding: str,
    tiling: Tiling,
    profile: bytes | None,
    side: int = SIDE,
) -> Dataset:
    _, photometric, encode = CODINGS[coding]
    data = Dataset()
    data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = generate_uid()
    data.StudyInstanceUID = generate_uid()
    data.Modality = "SM"
    data.Rows = data.Columns = side
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = image.shape[:2]
    data.TotalPixelMatrixFocalPlanes = 1
    data.NumberOfFrames = len(frames)
    data.DimensionOrganizationType = tiling
    data.SamplesPerPixel, data.PlanarConfiguration, data.PixelRepresentation = 3, 0, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PhotometricInterpretation = photometric
    path = Dataset()
    path.OpticalPathIdentifier, path.ObjectiveLensPower = "1", 20.0
    if profile is not None:
        path.ICCProfile = profile + bytes(len(profile) % 2)
    data.OpticalPathSequence = Items([path])
    data.SharedFunctionalGroupsSequence = Items([Dataset()])
    if tiling == "TILED_SPARSE":
        across = -(-image.shape[1] // SIDE)
        data.PerFrameFunctionalGroupsSequence = Items([_position(n, across) for n in frames])
    encoded = [encode(frame) for frame in frames.values()]
    if coding == "none":
        data.PixelData = b"".join(encoded)
        data["PixelData"].VR = "OB"
    else:
        _encapsulate(data, encoded)
    return data


def _encapsulate(data: Dataset, encoded: list[bytes], table: Table = "basic", fragments: int = 1) -> None:
    """Set compressed frames as the pixel data."""
    if table == "extended":
        found = encapsulate_extended(encoded)
        data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = found
    else:
        data.PixelData = encapsulate(encoded, fragments, has_bot=table == "basic")
    data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"


def _position(number: int, across: int) -> Dataset:
    """Where a frame lies: its first pixel in the whole image, counted from 1."""
    plane, group = Dataset(), Dataset()
    plane.ColumnPositionInTotalImagePixelMatrix = number % across * SIDE + 1
    plane.RowPositionInTotalImagePixelMatrix = number // across * SIDE + 1
    plane.XOffsetInSlideCoordinateSystem = plane.YOffsetInSlideCoordinateSystem = 0.0
    plane.ZOffsetInSlideCoordinateSystem = 0.0
    group.PlanePositionSlideSequence = Items([plane])
    return group


def _write(path: Path, data: Dataset, coding: str) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    meta.MediaStorageSOPInstanceUID = UID(str(data.SOPInstanceUID))
    meta.TransferSyntaxUID = CODINGS[coding][0]
    data.file_meta = meta
    dcmwrite(path, data, enforce_file_format=True)
    return path
