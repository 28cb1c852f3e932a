"""Hamamatsu NDPI, VMS and VMU: https://openslide.org/formats/hamamatsu/."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import tifffile

from tests.made_formats.pixels import UInt8Array, jpeg, shrunk

MPP = 0.5
# A restart marker after so many MCUs of 8 x 8 pixels: OpenSlide takes them for tiles of 64 x 8.
RESTART = 8


def write_ndpi(path: Path, pixels: UInt8Array) -> Path:
    """NDPI: each level is one JPEG with restart markers, sides multiples of 128; then the macro image."""
    macro = np.full((64, 160, 3), (0, 255, 0), np.uint8)
    pages = [(shrunk(pixels, f), 20 / f, MPP * f) for f in (1, 2)] + [(macro, -1.0, MPP * 50)]
    with tifffile.TiffWriter(path) as tif:
        for image, lens, mpp in pages:
            tif.write(
                iter([jpeg(image, restart=RESTART)]),
                shape=image.shape,
                dtype=np.uint8,
                rowsperstrip=image.shape[0],
                compression="zlib",
                photometric="rgb",
                metadata=None,
                software="NDP.scan",
                resolution=(1e4 / mpp, 1e4 / mpp),
                resolutionunit="CENTIMETER",
                extratags=[
                    (271, "s", 0, "Hamamatsu", True),
                    (65420, "I", 1, 1, True),
                    (65421, "f", 1, lens, True),
                    (65422, "i", 1, 0, True),
                    (65423, "i", 1, 0, True),
                    (65424, "i", 1, 0, True),
                ],
            )
    with tifffile.TiffFile(path, mode="r+", is_ndpi=False) as tif:
        for page in tif.pages:
            tags = page.aspage().tags
            tags["Compression"].overwrite(tifffile.COMPRESSION.JPEG)
            tags["PhotometricInterpretation"].overwrite(tifffile.PHOTOMETRIC.YCBCR)
    return path


def write_vms(path: Path, pixels: UInt8Array, columns: int = 2) -> Path:
    """VMS: an index file, JPEGs side by side, a map (a coarse view) and a macro image beside them."""
    h, w = pixels.shape[:2]
    lines = ["[Virtual Microscope Specimen]", "NoLayers=1", f"NoJpegColumns={columns}", "NoJpegRows=1"]
    for column in range(columns):
        part = pixels[:, column * w // columns : (column + 1) * w // columns]
        name = f"{path.stem}({column},0).jpg" if column else f"{path.stem}.jpg"
        (path.parent / name).write_bytes(jpeg(np.ascontiguousarray(part), restart=RESTART))
        lines.append(f"ImageFile({column},0)={name}" if column else f"ImageFile={name}")
    (path.parent / f"{path.stem}_map2.jpg").write_bytes(jpeg(shrunk(pixels, 2), restart=RESTART))
    (path.parent / f"{path.stem}_macro.jpg").write_bytes(jpeg(np.full((64, 160, 3), (0, 255, 0), np.uint8)))
    lines += [f"MapFile={path.stem}_map2.jpg", f"MacroImage={path.stem}_macro.jpg", "SourceLens=20"]
    lines += [f"PhysicalWidth={round(w * MPP * 1000)}", f"PhysicalHeight={round(h * MPP * 1000)}"]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def write_vmu(path: Path, pixels: UInt8Array, column: int = 128) -> Path:
    """VMU: as VMS, with uncompressed pixels of 12 bits; the width is a multiple of `column`."""
    h, w = pixels.shape[:2]
    for name, image in ((f"{path.stem}.ngr", pixels), (f"{path.stem}_map.ngr", shrunk(pixels, 4))):
        wide = math.gcd(column, image.shape[1])
        stripes = [image[:, x : x + wide] for x in range(0, image.shape[1], wide)]
        head = b"GN\0\0" + struct.pack("<iii", image.shape[1], image.shape[0], wide) + bytes(8)
        content = b"".join((s.astype("<u2") << 4).tobytes() for s in stripes)
        (path.parent / name).write_bytes(head + struct.pack("<i", 28) + content)
    lines = ["[Uncompressed Virtual Microscope Specimen]", "NoLayers=1", f"ImageFile={path.stem}.ngr"]
    lines += [f"MapFile={path.stem}_map.ngr", "BitsPerPixel=36", "PixelOrder=RGB", "SourceLens=20"]
    lines += [f"PhysicalWidth={round(w * MPP * 1000)}", f"PhysicalHeight={round(h * MPP * 1000)}"]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
