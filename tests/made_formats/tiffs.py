"""Formats that are TIFF underneath: Aperio, generic, OME, Philips, Leica, Ventana, Trestle, Huron, ARGOS."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.made_formats.pixels import UInt8Array, jpeg, jpeg2000, jpeg_rgb, lzw, shrunk, tiles

YCBCR_SUBSAMPLING = 530
RGB, YCBCR = 2, 6
MPP = 0.5


@dataclass(frozen=True)
class Encoding:
    """How tiles are compressed: function, TIFF's number for it, photometric interpretation, subsampling."""

    encode: Callable[[UInt8Array], bytes]
    compression: int
    photometric: int = RGB
    subsampling: tuple[int, int] | None = None


ENCODINGS = {
    "none": Encoding(lambda p: p.tobytes(), 1),
    "deflate": Encoding(lambda p: zlib.compress(p.tobytes(), 1), 8),
    "lzw": Encoding(lambda p: lzw(p.tobytes()), 5),
    "jpeg 4:4:4": Encoding(lambda p: jpeg(p), 7, YCBCR, (1, 1)),
    "jpeg 4:2:0": Encoding(lambda p: jpeg(p, subsampling="420"), 7, YCBCR, (2, 2)),
    "jpeg RGB": Encoding(jpeg_rgb, 7),
    "jpeg 2000 RGB": Encoding(lambda p: jpeg2000(p), 33005),
    "jpeg 2000 RGB, reversible colours": Encoding(lambda p: jpeg2000(p, mct=True), 33005),
    "jpeg 2000 YCbCr": Encoding(lambda p: jpeg2000(p, ycc=True), 33003),
}


@dataclass(frozen=True)
class Page:
    """One TIFF directory. Without `tile` it is one strip, as label and macro images are."""

    pixels: UInt8Array
    encoding: str = "deflate"
    tile: int | None = 256
    reduced: bool = False
    mpp: float | None = None
    raw_resolution: float | None = None
    description: str | None = None
    software: str | None = None
    tags: Sequence[tuple[Any, ...]] = field(default_factory=tuple)


def write_pages(path: Path, pages: Sequence[Page], *, bigtiff: bool = False) -> Path:
    """Write directories whose pixels are compressed here."""
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as tif:
        for page in pages:
            how = ENCODINGS[page.encoding]
            options: dict[str, Any] = {"metadata": None, "photometric": "rgb", "compression": "zlib"}
            options |= {"subfiletype": int(page.reduced), "description": page.description}
            options["software"] = page.software or False
            options["extratags"] = list(page.tags)
            if how.subsampling:
                options["extratags"].append((YCBCR_SUBSAMPLING, "H", 2, how.subsampling, True))
            if page.mpp is not None:
                options |= {"resolution": (1e4 / page.mpp,) * 2, "resolutionunit": "CENTIMETER"}
            if page.raw_resolution is not None:
                options |= {"resolution": (page.raw_resolution,) * 2, "resolutionunit": "NONE"}
            if page.tile:
                parts = [how.encode(t) for t in tiles(page.pixels, page.tile)]
                options["tile"] = (page.tile, page.tile)
            else:
                parts = [how.encode(page.pixels)]
                options["rowsperstrip"] = page.pixels.shape[0]
            tif.write(iter(parts), shape=page.pixels.shape, dtype=np.uint8, **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page, written in zip(pages, tif.pages, strict=True):
            how = ENCODINGS[page.encoding]
            tags = written.aspage().tags
            tags["Compression"].overwrite(how.compression)
            tags["PhotometricInterpretation"].overwrite(how.photometric)
    return path


def _pyramid(pixels: UInt8Array, factors: Sequence[int], encoding: str, **first: Any) -> list[Page]:
    return [Page(shrunk(pixels, f), encoding, reduced=f > 1, **(first if f == 1 else {})) for f in factors]


def write_aperio(path: Path, pixels: UInt8Array, encoding: str) -> Path:
    """Aperio SVS: level 0, thumbnail, further levels, label, macro."""
    h, w = pixels.shape[:2]
    head = f"Aperio Image Library v12.0.15 \r\n{w}x{h} [0,0 {w}x{h}] (256x256)"
    level0, *levels = _pyramid(
        pixels, (1, 4), encoding, description=f"{head} J2K/KDU Q=70|AppMag = 20|MPP = {MPP:.4f}"
    )
    thumbnail = Page(shrunk(pixels, 8), tile=None, description=f"{head} -> 64x64 - |AppMag = 20")
    label = Page(
        np.full((64, 48, 3), (255, 0, 0), np.uint8), tile=None, reduced=True, description="A\nlabel 48x64"
    )
    macro = Page(
        np.full((48, 96, 3), (0, 255, 0), np.uint8), tile=None, reduced=True, description="A\nmacro 96x48"
    )
    return write_pages(path, [level0, thumbnail, *levels, label, macro])


def write_generic(path: Path, pixels: UInt8Array, encoding: str, *, bigtiff: bool = False) -> Path:
    """A pyramidal tiled TIFF of no vendor."""
    return write_pages(path, _pyramid(pixels, (1, 2, 4), encoding, mpp=MPP), bigtiff=bigtiff)


def write_ome(
    path: Path, pixels: UInt8Array, *, tags: bool = True, planes: bool = False, unit: str = "µm"
) -> Path:
    """An OME-TIFF by tifffile, its levels in SubIFDs; `tags` says whether it has resolution tags too."""
    size = {"µm": MPP, "nm": MPP * 1000, "mm": MPP / 1000}[unit]
    metadata = {
        "axes": "CYX" if planes else "YXS",
        "PhysicalSizeX": size,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": size,
        "PhysicalSizeYUnit": unit,
    }
    options: dict[str, Any] = {"tile": (256, 256), "compression": "zlib"}
    options["photometric"] = "minisblack" if planes else "rgb"
    if tags:
        options |= {"resolution": (1e4 / MPP,) * 2, "resolutionunit": "CENTIMETER"}
    level0, level1 = pixels, shrunk(pixels, 2)
    if planes:
        level0, level1 = np.moveaxis(pixels, -1, 0), np.moveaxis(level1, -1, 0)
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(level0, subifds=1, metadata=metadata, **options)
        tif.write(level1, subfiletype=1, metadata=None, **options)
    return path


def write_philips(path: Path, pixels: UInt8Array, factors: Sequence[int] = (1, 2, 4)) -> Path:
    """Philips TIFF: resolution of every level in XML."""
    spacing = ['"{0:.9f}" "{0:.9f}"'.format(MPP / 1000 * f).replace('"', "&quot;") for f in factors]
    levels = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        f'<Attribute Name="DICOM_PIXEL_SPACING">{s}</Attribute></DataObject>'
        for s in spacing
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>'
        f'<Attribute Name="DICOM_PIXEL_SPACING">{spacing[0]}</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{levels}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )
    pages = _pyramid(pixels, factors, "jpeg 4:4:4", description=xml, software="Philips DP v1.0")
    return write_pages(path, pages)


def write_leica(path: Path, pixels: UInt8Array, *, offset: tuple[int, int], slide: tuple[int, int]) -> Path:
    """Leica SCN: one scanned area of `pixels` at `offset` on a slide of a size, level-0 pixels."""
    h, w = pixels.shape[:2]
    nm = round(MPP * 1000)
    factors = (1, 4)
    dimensions = "".join(
        f'<dimension sizeX="{w // f}" sizeY="{h // f}" r="{r}" ifd="{r + 1}" />'
        for r, f in enumerate(factors)
    )
    settings = (
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>"
        "<numericalAperture>0.4</numericalAperture><illuminationSource>brightfield</illuminationSource>"
        "</illuminationSettings></scanSettings>"
    )
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection sizeX="{slide[0] * nm}" sizeY="{slide[1] * nm}"><barcode></barcode>'
        f'<image name="macro"><pixels><dimension sizeX="64" sizeY="48" ifd="0" /></pixels>'
        f'<view sizeX="{slide[0] * nm}" sizeY="{slide[1] * nm}" offsetX="0" offsetY="0" />{settings}</image>'
        f'<image name="area"><pixels sizeX="{w}" sizeY="{h}">{dimensions}</pixels>'
        f'<view sizeX="{w * nm}" sizeY="{h * nm}" offsetX="{offset[0] * nm}" offsetY="{offset[1] * nm}" />'
        f"{settings}</image></collection></scn>"
    )
    macro = Page(np.full((48, 64, 3), (0, 255, 0), np.uint8), description=xml)
    pages = _pyramid(pixels, factors, "jpeg 4:4:4", mpp=MPP)
    return write_pages(path, [macro, *pages], bigtiff=True)


XMP = 700


def write_ventana(
    path: Path,
    pixels: UInt8Array,
    tile: int = 256,
    *,
    origin: tuple[int, int] = (0, 0),
    tags_mpp: float | None = None,
    stored: UInt8Array | None = None,
) -> Path:
    """Ventana BIF: one area of interest, tiles without overlap; sides are multiples of a tile.

    Args:
        path: Where to.
        pixels: The area.
        tile: Side of the tiles.
        origin: Where the metadata place the area, pixels.
        tags_mpp: Resolution tags of level 0; None leaves them out.
        stored: The whole picture that the file holds; only the area if None.
    """
    rows, cols = pixels.shape[0] // tile, pixels.shape[1] // tile
    iscan = f'<iScan Magnification="20" ScanRes="{MPP}" UnitNumber="1" Z-layers="1"><AOI0/></iScan>'
    joints = []
    for number in range(1, rows * cols + 1):
        row, col = _ventana_place(number, rows, cols)
        for other in range(1, rows * cols + 1):
            row2, col2 = _ventana_place(other, rows, cols)
            if (row2, col2) == (row, col + 1):
                joints.append(("RIGHT", number, other))
            if (row2, col2) == (row - 1, col):
                joints.append(("UP", number, other))
    info = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="99" Direction="{d}" Tile1="{a}" Tile2="{b}" '
        'OverlapX="0" OverlapY="0" />'
        for d, a, b in joints
    )
    encode = (
        '<EncodeInfo Ver="2"><SlideInfo/><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" '
        f'Width="{tile}" Height="{tile}" NumRows="{rows}" NumCols="{cols}" Pos-X="0" Pos-Y="0">'
        f"{info}</ImageInfo></SlideStitchInfo>"
        f'<AoiOrigin><AOI0 OriginX="{origin[0]}" OriginY="{origin[1]}"/></AoiOrigin></EncodeInfo>'
    )
    label = np.full((96, 48, 3), (255, 0, 0), np.uint8)
    pages = [Page(label, tile=None, description="Label Image", tags=[_xmp(iscan)])]
    for level, factor in enumerate((1, 2)):
        description = f"level={level} mag={20 / factor:g} quality=90"
        tags = [_xmp(encode)] if level == 0 else []
        level_pixels = shrunk(pixels if stored is None else stored, factor)
        page = Page(level_pixels, "jpeg 4:4:4", tile, level > 0, description=description, tags=tags)
        pages.append(replace(page, mpp=tags_mpp) if level == 0 else page)
    return write_pages(path, pages, bigtiff=True)


def _xmp(xml: str) -> tuple[Any, ...]:
    return (XMP, "B", len(xml), xml.encode(), True)


def _ventana_place(number: int, rows: int, cols: int) -> tuple[int, int]:
    """Row and column of a tile: numbered from the bottom, there and back again."""
    row, col = divmod(number - 1, cols)
    return rows - 1 - row, cols - 1 - col if row % 2 else col


def write_trestle(path: Path, pixels: UInt8Array, overlap: int = 0, tile: int = 256) -> Path:
    """Trestle TIFF: tiles share `overlap` pixels with their neighbours; the resolution tags hold the mpp."""
    step = tile - overlap
    rows, cols = (-(-(n - overlap) // step) for n in pixels.shape[:2])
    spread = np.zeros((rows * tile, cols * tile, 3), np.uint8)
    for row in range(rows):
        for col in range(cols):
            part = pixels[row * step : row * step + tile, col * step : col * step + tile]
            spread[row * tile : row * tile + part.shape[0], col * tile : col * tile + part.shape[1]] = part
    description = f"Objective Power=20;Background Color=FFFFFF;OverlapsXY= {overlap} {overlap} 0 0 "
    pages = [
        Page(spread, "jpeg 4:4:4", tile, raw_resolution=MPP, description=description, software="MedScan"),
    ]
    return write_pages(path, pages)


def write_qptiff(path: Path, pixels: UInt8Array) -> Path:
    """Akoya QPTIFF of a brightfield scan: what each image is in XML, and the resolution in tags."""

    def about(kind: str) -> str:
        return (
            '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
            f"<DescriptionVersion>4</DescriptionVersion><ImageType>{kind}</ImageType>"
            "<Objective>20x</Objective></PerkinElmer-QPI-ImageDescription>"
        )

    level0, *levels = (
        Page(
            pixels if factor == 1 else shrunk(pixels, factor),
            "jpeg 4:4:4",
            reduced=factor > 1,
            mpp=MPP * factor,
            description=about("FullResolution" if factor == 1 else "ReducedResolution"),
        )
        for factor in (1, 2, 4)
    )
    thumbnail = Page(shrunk(pixels, 8), tile=None, description=about("Thumbnail"))
    overview = Page(shrunk(pixels, 5), tile=None, description=about("Overview"))
    label = Page(np.full((64, 48, 3), (255, 0, 0), np.uint8), tile=None, description=about("Label"))
    return write_pages(path, [level0, thumbnail, *levels, overview, label])


def write_huron(path: Path, pixels: UInt8Array) -> Path:
    """Huron TIFF: an `ImageMake` tag, then as Aperio."""
    make = (271, "s", 0, "Huron Digital Pathology", True)
    level0, *levels = _pyramid(
        pixels,
        (1, 2),
        "jpeg 4:4:4",
        mpp=MPP,
        description="Scanner = TissueScope\nResolution = 0.5 um",
        tags=[make],
    )
    thumbnail = Page(shrunk(pixels, 8), tile=None)
    label = Page(np.full((64, 48, 3), (255, 0, 0), np.uint8), tile=None, reduced=True)
    return write_pages(path, [level0, thumbnail, *levels, label])


def write_argos(path: Path, pixels: UInt8Array) -> Path:
    """ARGOS AVS with three focal planes, of which the middle one holds `pixels`; the others are grey."""
    xml = (
        "<Argos.Scan.Metadata><MinZ>-1</MinZ><MaxZ>1</MaxZ>"
        "<ObjectiveMagnification>20</ObjectiveMagnification></Argos.Scan.Metadata>"
    )
    grey = np.full_like(pixels, 128)
    planes = []
    for number, plane in enumerate((grey, pixels, grey)):
        tags = [(65000, "s", 0, xml, True)] if number == 0 else []
        planes += [
            Page(plane, "jpeg 4:4:4", mpp=MPP, tags=tags),
            Page(shrunk(plane, 2), "jpeg 4:4:4", mpp=MPP * 2),
        ]
    strips = [Page(shrunk(pixels, 8), tile=None), Page(np.zeros((40, 90, 3), np.uint8), tile=None)]
    return write_pages(path, [*planes, *strips], bigtiff=True)
