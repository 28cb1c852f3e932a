"""OME-Zarr as the specification describes it (https://ngff.openmicroscopy.org), with known pixels."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from tests.made_formats.pixels import UInt8Array, shrunk

Version = Literal["0.4", "0.5"]
RGB = ({"color": "FF0000"}, {"color": "00FF00"}, {"color": "0000FF"})


def write_ome_zarr(
    folder: Path,
    pixels: UInt8Array,
    version: Version = "0.4",
    *,
    axes: str = "cyx",
    factors: Sequence[int] = (1, 2, 4),
    chunk: int = 128,
    mpp: tuple[float, float] = (0.5, 0.5),
    unit: str | None = "micrometer",
    translated: bool = False,
    planar: bool = False,
    **array: Any,
) -> Path:
    """Write an image; see `multiscales` for its metadata.

    Args:
        folder: Folder to write.
        pixels: Level 0, RGB, uint8 [h, w, 3]; other counts of channels and types are written as they are.
        version: 0.4 (Zarr 2) or 0.5 (Zarr 3).
        axes: Names of the axes, of one letter each.
        factors: Downsample of each level.
        chunk: Side of a chunk, pixels.
        mpp: Size of a pixel (x, y), in the unit.
        unit: Unit of x and y; None for none.
        translated: Whether the position of the first pixel's centre is written.
        planar: Whether each channel has chunks of its own, as bioformats2raw writes them.
        array: Further arguments of `zarr.create_array`.
    """
    levels = [pixels if factor == 1 else shrunk(pixels, factor) for factor in factors]
    for number, level in enumerate(levels):
        write_array(folder / str(number), level, version, axes, chunk, planar=planar, **array)
    document = {"multiscales": [multiscale(version, axes, factors, mpp, unit, translated=translated)]}
    write_attributes(folder, document, version)
    return folder


def write_array(
    folder: Path,
    pixels: UInt8Array,
    version: Version,
    axes: str = "cyx",
    chunk: int = 128,
    *,
    planar: bool = False,
    **options: Any,
) -> None:
    """Write one level."""
    ordered = pixels.transpose(["yxc".index(axis) for axis in axes if axis in "cyx"])
    shape = dict(zip([axis for axis in axes if axis in "cyx"], ordered.shape, strict=True))
    sides = {"c": 1 if planar else shape.get("c", 1), "y": chunk, "x": chunk}
    if version == "0.4":
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    created = zarr.create_array(
        folder,
        shape=tuple(shape.get(axis, 1) for axis in axes),
        chunks=tuple(sides.get(axis, 1) for axis in axes),
        dtype=pixels.dtype,
        zarr_format=2 if version == "0.4" else 3,
        **options,
    )
    created[:] = ordered.reshape(created.shape)


def multiscale(
    version: Version,
    axes: str = "cyx",
    factors: Sequence[float] = (1, 2, 4),
    mpp: tuple[float, float] = (0.5, 0.5),
    unit: str | None = "micrometer",
    *,
    translated: bool = False,
) -> dict[str, Any]:
    """Describe an image with levels 0, 1, ..."""
    kinds = {"c": "channel", "t": "time"}
    described = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    if unit is not None:
        for axis in described:
            if axis["type"] == "space":
                axis["unit"] = unit
    datasets = []
    for number, factor in enumerate(factors):
        sides = {"x": mpp[0] * factor, "y": mpp[1] * factor}
        transforms: list[dict[str, Any]] = [
            {"type": "scale", "scale": [sides.get(axis, 1.0) for axis in axes]}
        ]
        if translated:
            begin = {"x": mpp[0] * (factor - 1) / 2, "y": mpp[1] * (factor - 1) / 2}
            transforms.append({"type": "translation", "translation": [begin.get(a, 0.0) for a in axes]})
        datasets.append({"path": str(number), "coordinateTransformations": transforms})
    found: dict[str, Any] = {"axes": described, "datasets": datasets}
    return found if version == "0.5" else {"version": "0.4", **found}


def write_attributes(folder: Path, attributes: dict[str, Any], version: Version = "0.4") -> None:
    """Write the attributes of a group; in version 0.5 below `ome`."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (folder / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
        (folder / ".zattrs").write_text(json.dumps(attributes))
    else:
        group = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": "0.5"} | attributes},
        }
        (folder / "zarr.json").write_text(json.dumps(group))


def change_attributes(folder: Path, **changed: Any) -> None:
    """Replace attributes of a group of version 0.4; None removes one."""
    file = folder / ".zattrs"
    attributes = json.loads(file.read_text()) | changed
    file.write_text(json.dumps({name: value for name, value in attributes.items() if value is not None}))


def zipped(folder: Path, file: Path, inside: str = "") -> Path:
    """Pack a folder, uncompressed and with the root's metadata first, as the specification of `.ozx` says."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (len(p.parts), p))
        for path in files:
            packed.write(path, inside + path.relative_to(folder).as_posix())
    return file


def black_hole(pixels: UInt8Array, x: int, y: int, side: int) -> UInt8Array:
    """Return a copy with a black square."""
    changed = np.array(pixels)
    changed[y : y + side, x : x + side] = 0
    return changed
