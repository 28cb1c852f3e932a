"""Small OME-TIFF slides of the picture, to be mutated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.fuzz.case import Files
from tests.fuzz.picture import HEIGHT, MPP, PICTURE, WIDTH
from tests.fuzz.tiff.tags import put, tags
from tests.made_formats.jpeg_tiles import Kind, write_jpeg_slide

TILE = 64
DESCRIPTION, TEXT = 270, 2
LABEL = np.full((128, 192, 3), (200, 0, 0), np.uint8)
SIZES = f'PhysicalSizeX="{MPP}" PhysicalSizeXUnit="µm" PhysicalSizeY="{MPP}" PhysicalSizeYUnit="µm"'
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0" Creator="made">
<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="20.0"/></Instrument>
"""
IMAGE = """<Image ID="Image:{n}" Name="{name}"><ObjectiveSettings ID="Objective:0"/>
<Pixels ID="Pixels:{n}" DimensionOrder="XYCZT" Type="uint8" SizeX="{w}" SizeY="{h}"
 SizeC="3" SizeZ="1" SizeT="1" Interleaved="true" BigEndian="false" SignificantBits="8" {sizes}>
{channels}
{data}
</Pixels></Image>
"""


def image_xml(
    number: int = 0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    *,
    name: str = "slide",
    sizes: str = SIZES,
    samples: Sequence[int] = (3,),
) -> str:
    """Return an element Image.

    Args:
        number: Its place among the images, and of its first directory.
        size: (width, height), pixels.
        name: Its name.
        sizes: Attributes with its resolution.
        samples: Samples per pixel of each of its channels; each channel is a directory.
    """
    channels = "".join(
        f'<Channel ID="Channel:{number}:{i}" SamplesPerPixel="{n}"/>' for i, n in enumerate(samples)
    )
    data = "".join(
        f'<TiffData IFD="{number + i}" FirstC="{i}" FirstZ="0" FirstT="0" PlaneCount="1"/>'
        for i in range(len(samples))
    )
    w, h = size
    return IMAGE.format(n=number, name=name, w=w, h=h, sizes=sizes, channels=channels, data=data)


def ome_xml(*images: str) -> bytes:
    """Return a description with these images."""
    return f"{HEAD}{''.join(images)}</OME>".encode()


def _jpeg(
    path: Path, xml: bytes, *, mpp: float | None = MPP, subifds: bool = True, big: bool = False
) -> Path:
    """Write a slide of JPEG tiles that say themselves that they are YCbCr."""
    kind = Kind("ycbcr", "420", "jfif")
    return write_jpeg_slide(
        path, PICTURE, kind, tile=TILE, mpp=mpp, subifds=subifds, bigtiff=big, description=xml
    )


def _with_label(path: Path) -> Path:
    _jpeg(path, b"replaced below")  # tifffile appends to no OME-TIFF
    with tifffile.TiffWriter(path, append=True) as tif:
        options: dict[str, Any] = {"photometric": "rgb", "tile": (TILE, TILE), "compression": "zlib"}
        tif.write(LABEL, metadata=None, **options)
    out, label = bytearray(path.read_bytes()), image_xml(1, (192, 128), name="label", sizes="")
    xml = ome_xml(image_xml(), label) + b"\0"
    put(out, tags(out)[0][DESCRIPTION], TEXT, len(xml), xml)
    path.write_bytes(out)
    return path


def _deflate(path: Path) -> Path:
    with tifffile.TiffWriter(path) as tif:
        options: dict[str, Any] = {
            "photometric": "rgb",
            "tile": (TILE, TILE),
            "compression": "zlib",
            "metadata": None,
        }
        options |= {"resolution": (1e4 / MPP,) * 2, "resolutionunit": "CENTIMETER"}
        tif.write(PICTURE, description=ome_xml(image_xml()), **options)
    return path


def _planes(path: Path) -> Path:
    """Write red, green and blue as images of their own, which nothing here reads."""
    xml = ome_xml(image_xml(samples=(1, 1, 1)))
    with tifffile.TiffWriter(path) as tif:
        for number in range(3):
            tif.write(
                np.ascontiguousarray(PICTURE[..., number]),
                photometric="minisblack",
                tile=(TILE, TILE),
                compression="zlib",
                metadata=None,
                description=xml if number == 0 else None,
            )
    return path


BASES: dict[str, Callable[[Path], Path]] = {
    "tags": lambda p: _jpeg(p, ome_xml(image_xml(sizes=""))),
    "physical size": lambda p: _jpeg(p, ome_xml(image_xml()), mpp=None),
    "both": lambda p: _jpeg(p, ome_xml(image_xml())),
    "both, big": lambda p: _jpeg(p, ome_xml(image_xml()), big=True),
    "both, pages": lambda p: _jpeg(p, ome_xml(image_xml()), subifds=False),
    "both, deflate": _deflate,
    "both, label": _with_label,
    "planes": _planes,
}


def base_files(folder: Path, real: Path | None = None) -> dict[str, Files]:
    """Write every base, and return their contents."""
    files = {}
    for name, write in BASES.items():
        path = folder / "slide.tif"  # tifffile writes a description of its own into what is named .ome.tif
        files[name] = {"slide.ome.tif": write(path).read_bytes()}
        path.unlink()
    return files
