"""Detection of TIFF pixels that OpenSlide would change.

OpenSlide decodes JPEG tiles and Aperio's JPEG 2000 itself. Everything else goes through libtiff's conversion
to RGBA, which turns each tile by the orientation tag, takes any extra sample for transparency, scales 16 bits
as if all were used, ignores signs, and misplaces pixels at the right edge of some images.
"""

from __future__ import annotations

from wsi_embed.errors import SlideError
from wsi_embed.slide.remedies import ONE_PLANE, vips
from wsi_embed.slide.tiff.storage import (
    APERIO_JPEG_2000,
    BLACK_IS_ZERO,
    JPEG,
    PALETTE,
    RGB,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    Storage,
)

COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
OTHER_COLOURS = {4: "a mask", 5: "inks (CMYK)", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
ALPHAS = (1, 2)  # premultiplied or not: libtiff supports both


def pixel_fault(stored: Storage, *, aperio: bool = False) -> SlideError | None:
    """Check whether OpenSlide would change the pixels of a level.

    Args:
        stored: Storage of the pixels.
        aperio: Whether the file is from Aperio, whose JPEG 2000 OpenSlide decodes.

    Returns:
        The error, without the name of the file; None if the pixels are read correctly.
    """
    if stored.depth > 1:
        return SlideError(
            f"it has {stored.depth} focal planes (ImageDepth), of which one has to be chosen",
            remedy=ONE_PLANE,
        )
    if stored.number != UNSIGNED:
        kind = "signed" if stored.number == SIGNED else "floating-point or complex"
        return SlideError(
            f"its samples are {kind} numbers",
            remedy="scale them to 0 to 255 and write them with 8 bits, unsigned",
        )
    if stored.bits > 8:
        return _bit_fault(stored.bits)
    if stored.orientation != 1 and not as_stored(stored, aperio=aperio):
        return SlideError(
            f"its orientation tag is {stored.orientation}, by which libtiff turns each tile within itself",
            remedy=f"turn the whole image with {vips('autorot')}",
        )
    if stored.photometric not in COLOURS:
        kind = OTHER_COLOURS.get(stored.photometric, f"of photometric interpretation {stored.photometric}")
        return SlideError(
            f"its pixels are {kind}, not RGB", remedy=f"convert it with {vips('colourspace', 'srgb')}"
        )
    return _sample_fault(stored, aperio)


def as_stored(stored: Storage, *, aperio: bool = False) -> bool:
    """Return whether OpenSlide returns the pixels as stored, whatever the orientation tag."""
    return stored.jpeg_of_openslide or (aperio and stored.compression in APERIO_JPEG_2000)


def _bit_fault(bits: int) -> SlideError:
    if bits > 16:
        return SlideError(
            f"its samples have {bits} bits", remedy="scale them to 0 to 255 and write them with 8 bits"
        )
    return SlideError(
        f"its samples have {bits} bits, and the file does not say how many of them are used",
        remedy=f"make them 8 bits with {vips('colourspace', 'srgb')}, or where 12 are used "
        f"{vips('linear', '0.0625 0 --uchar')}",
    )


def _sample_fault(stored: Storage, aperio: bool) -> SlideError | None:
    colours = COLOURS[stored.photometric]
    if stored.samples < colours or (
        stored.samples != 3 and aperio and stored.compression in APERIO_JPEG_2000
    ):
        return SlideError(
            f"its pixels have {stored.samples} samples instead of 3",
            remedy="write it again as interleaved RGB",
        )
    if stored.samples > colours:
        return _extra_fault(stored)
    if stored.photometric == YCBCR and stored.compression != JPEG:
        if stored.subsampling == (4, 4):
            what = "libtiff garbles YCbCr that is subsampled by 4 x 4"
        elif not stored.chunky and stored.subsampling != (1, 1):
            what = "its YCbCr is in separate planes and subsampled"
        else:
            return None
        return SlideError(what, remedy="write it again as interleaved RGB")
    return None


def _extra_fault(stored: Storage) -> SlideError | None:
    if stored.photometric == RGB:
        if stored.extra in ALPHAS:
            return None
        return SlideError(
            f"the fourth of its {stored.samples} samples is not declared as alpha "
            f"(ExtraSamples {stored.extra}), but OpenSlide takes it for transparency",
            remedy=f"drop it with {vips('extract_band', '0 --n 3')}",
        )
    if stored.samples == 3:
        remedy = f"if they are red, green and blue, say so with {vips('copy', '--interpretation srgb')}"
    else:
        remedy = f"keep the first with {vips('extract_band', '0')}"
    return SlideError(
        f"its pixels have {stored.samples} samples, where OpenSlide expects grey", remedy=remedy
    )
