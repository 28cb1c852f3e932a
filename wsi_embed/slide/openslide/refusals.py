"""Clear errors for files that OpenSlide does not open: its own messages seldom name the reason."""

from __future__ import annotations

import re
from pathlib import Path

import openslide

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import unreadable
from wsi_embed.slide.content import content_of
from wsi_embed.slide.dicom.files import media_class
from wsi_embed.slide.planes import repeated_level
from wsi_embed.slide.remedies import ONE_PLANE, TIFFSAVE, WITH_FASTSLIDE, without_folder
from wsi_embed.slide.suffixes import FASTSLIDE_SUFFIXES, companion_folder, foreign_format, packed_slide
from wsi_embed.slide.tiff.directory import STARTS, TiffFile
from wsi_embed.slide.tiff.precheck import is_aperio
from wsi_embed.slide.tiff.tags import TiffError

WHOLE_SLIDE_IMAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SOFTWARE, MOST_SOFTWARE = 305, 4096  # TIFF tag, and bytes of it that are read
EIGHT_BITS = "export it with unsigned samples of 8 bits"
# OpenSlide's messages for unsupported kinds of files, and ours.
KINDS = (
    (r"(?:BitsAllocated|BitsStored) value (\d+)", "its samples have {} bits, not 8", EIGHT_BITS),
    (r"HighBit value|PixelRepresentation value", "its samples are not unsigned of 8 bits", EIGHT_BITS),
    (r"TotalPixelMatrixFocalPlanes value (\d+)", "it has {} focal planes", "export one of them by itself"),
    (
        r"unexpected image",
        "its series has several images of one size (focal planes, or optical paths?)",
        "keep the files of one",
    ),
    (
        r"unexpected associated image",
        "its series has several pictures of the glass of one kind (labels, or overviews?)",
        "keep one of each",
    ),
    (
        r"Expected (\d+) SOP instances in concatenation \S+, found (\d+)",
        "one of its images is in {} files, of which {} are here",
        "put all files of the series into one folder",
    ),
    (
        r"Found multiple SOP instances in concatenation with index (\d+)",
        "several parts of one of its images say that they are number {}",
        "export it anew",
    ),
    (
        r"Can't find main image",
        "it has no brightfield image of an area (fluorescence?), and only such is read",
        "export it as RGB",
    ),
    (
        r"out-of-range scene",
        "its XML and its tiles do not have the same scenes",
        "save each by itself from ZEN",
    ),
    (r"ImageDepth=(\d+)", "it has {} focal planes (ImageDepth), of which one has to be chosen", ONE_PLANE),
    (r"SamplesPerPixel value (\d+)", "its pixels have {} samples, and only RGB is read", "export it as RGB"),
    (r"read PlanarConfiguration", "its pixels are grey, and only RGB is read", "export it as RGB"),
    (r"PlanarConfiguration value", "its colours lie in separate planes", "export them pixel by pixel"),
    (
        r"photometric interpretation (\w+) for",
        "its colours are {} in a way that is not read",
        "export it as RGB",
    ),
    (
        r"transfer syntax ([\d.]+)",
        "its pixels are compressed as {}, which is not read",
        "decompress it, for example with `gdcmconv --raw IN OUT`, or export it as JPEG or JPEG 2000",
    ),
    (
        r"No pyramid levels found",
        "no file of its series here is a level of a slide",
        "put all files of the series into one folder",
    ),
    (r'dimension "Z"', "it has a Z dimension (focal planes), which is not read", "save one plane from ZEN"),
    (r'dimension "T"', "it has a T dimension (times), which is not read", "save one time from ZEN"),
    (
        r'subblock dimension "(\w+)"',
        "it has a dimension {}, which is not read",
        "save it without that from ZEN",
    ),
    (r"Nonzero subblock channel", "it has several channels, and only RGB is read", "save it as RGB from ZEN"),
    (
        r"Pixel type (\w+) is not supported",
        "its pixels are of type {}, and only RGB of 8 bits is read",
        "save it so from ZEN",
    ),
    (
        r"TIFF compression: (\d+)",
        "its pixels are compressed as {}, which is not read",
        f"convert it with {TIFFSAVE}",
    ),
    (
        r"JPEG XR compression is not supported",
        "its pixels are compressed as JPEG XR, which OpenSlide does not read",
        f"save it as zstd from ZEN, or {WITH_FASTSLIDE}",
    ),
    (r"required TIFF tag: (\d+)", "it lacks the TIFF tag {}", "write it again with a program that sets it"),
)
# Compressions by DICOM transfer syntax or TIFF number.
COMPRESSIONS = {
    "1.2.840.10008.1.2": "nothing, with implicit value representations",
    "1.2.840.10008.1.2.1.99": "deflate",
    "1.2.840.10008.1.2.2": "nothing, in big-endian order",
    "1.2.840.10008.1.2.4.51": "JPEG of 12 bits",
    "1.2.840.10008.1.2.4.57": "lossless JPEG",
    "1.2.840.10008.1.2.4.70": "lossless JPEG",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
    "1.2.840.10008.1.2.5": "RLE",
    "6": "JPEG of TIFF's old kind",
    "22610": "JPEG XR",
    "33003": "JPEG 2000",
    "33005": "JPEG 2000",
    "34712": "JPEG 2000",
    "34887": "LERC",
    "34892": "lossy JPEG of DNG",
    "34925": "LZMA",
    "34933": "PNG",
    "34934": "JPEG XR",
    "50001": "WebP",
    "50002": "JPEG XL",
    "52546": "JPEG XL",
}


def refused(path: Path, error: openslide.OpenSlideError) -> SlideError:
    """Return the error for a slide whose format OpenSlide knows but does not open, with the real reason."""
    text = str(error)
    for pattern, what, remedy in KINDS:
        if match := re.search(pattern, text):
            what = what.format(*(COMPRESSIONS.get(g, g) for g in match.groups()))
            return SlideError(what, where=path, remedy=remedy)
    return unreadable(path, error)


def unknown(path: Path) -> SlideError:
    """Return the error for a file whose format OpenSlide does not know, with the real reason."""
    if inner := packed_slide(path.name):
        return SlideError(
            "compressed as a whole, and read only unpacked", where=path, remedy=f"unpack {inner} from it"
        )
    if (folder := companion_folder(path)) is not None and not folder.is_dir():
        return without_folder(folder).at(path)
    if foreign := foreign_format(path.name):
        return _foreign(path, foreign).at(path)
    if path.suffix.lower() == ".mrxs" and not path.with_suffix("").is_dir():
        return without_folder(path.with_suffix("")).at(path)
    try:
        return (_tiff_fault(path) or _dicom_fault(path) or _content_fault(path)).at(path)
    except (TiffError, OSError) as error:
        return unreadable(path, error)


def _foreign(path: Path, kind: str) -> SlideError:
    """Return the error for a format that is known by name only."""
    remedy = "convert it to DICOM or a pyramidal TIFF"
    if path.name.lower().endswith(FASTSLIDE_SUFFIXES):
        return SlideError(f"{kind} is not read by default", remedy=f"{remedy}, or {WITH_FASTSLIDE}")
    return SlideError(f"{kind} is a format that nothing here reads", remedy=remedy)


def _tiff_fault(path: Path) -> SlideError | None:
    with path.open("rb") as data:
        if data.read(4) not in STARTS:
            return None
    with TiffFile(path) as file:
        directories = file.directories()
        if not directories:
            return SlideError("a TIFF without any image", remedy="copy it again")
        if not directories[0].tiled:
            return SlideError(
                "its first image is stored in strips, and OpenSlide reads tiles only",
                remedy=f"convert it with {TIFFSAVE}",
            )
        if file.order == ">" and not file.big:
            return SlideError(
                "its numbers are big-endian, which OpenSlide reads of BigTIFF only",
                remedy=f"convert it with {TIFFSAVE}",
            )
        if is_aperio(directories[0]):
            tiled = [directory for directory in directories if directory.tiled]
            return repeated_level(tiled) or SlideError(
                "its levels do not become smaller from one to the next", remedy=f"convert it with {TIFFSAVE}"
            )
        if directories[0].text(SOFTWARE, MOST_SOFTWARE).startswith("Philips"):
            return SlideError(
                "the DICOM_PIXEL_SPACING of its levels does not become larger from one to the next",
                remedy=f"convert it with {TIFFSAVE}",
            )
        return SlideError("a tiled TIFF, but not as OpenSlide reads it", remedy=f"convert it with {TIFFSAVE}")


def _dicom_fault(path: Path) -> SlideError | None:
    kind = media_class(path)
    if kind is None or kind == WHOLE_SLIDE_IMAGE or not re.fullmatch(r"[\d.]{1,64}", kind):
        return None
    return SlideError(
        f"a DICOM file, but no whole-slide microscopy image (its SOP class is {kind})",
        remedy="choose the files of the slide, or export it as VL Whole Slide Microscopy Image",
    )


def _content_fault(path: Path) -> SlideError:
    content = None if path.suffix.lower() in (".mrxs", ".vms", ".vmu") else content_of(path)
    if content:
        return SlideError(f"not a slide: it is {content}")
    return SlideError(
        f"not a slide in a format that OpenSlide {openslide.__library_version__} knows",
        remedy="is it complete, and is its extension right?",
    )
