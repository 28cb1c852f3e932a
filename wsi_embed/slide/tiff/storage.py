"""Storage of the pixels of a TIFF image: the tags that determine how they are decoded."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.tags import TiffError

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, YCBCR = 0, 1, 2, 3, 4, 6
JPEG, APERIO_JPEG_2000 = 7, (33003, 33005)
CHUNKY = 1
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
YCBCR_SUBSAMPLING, IMAGE_DEPTH = 530, 32997
MOST_SAMPLES = 1024


@dataclass(frozen=True)
class Storage:
    """Storage of the pixels of an image, in TIFF's numbers.

    Attributes:
        compression: Compression scheme.
        photometric: Meaning of the samples: `RGB`, `YCBCR`, ...; -1 if missing.
        samples: Number of samples per pixel.
        bits: Number of bits of the largest sample.
        number: `UNSIGNED`, `SIGNED`, `FLOAT` or `UNDEFINED`; the first that is not unsigned.
        extra: Meaning of the first extra sample: 1 or 2 for transparency.
        chunky: Whether the samples of a pixel are interleaved.
        orientation: Orientation for display, 1 to 8; 1 for none.
        depth: Number of focal planes in the image.
        subsampling: Subsampling of the chroma of YCbCr, (across, down).
    """

    compression: int
    photometric: int
    samples: int
    bits: int
    number: int
    extra: int
    chunky: bool
    orientation: int
    depth: int
    subsampling: tuple[int, ...]

    @property
    def jpeg_of_openslide(self) -> bool:
        """Whether OpenSlide decodes the image as JPEG itself, without libtiff's conversion to RGBA."""
        return (
            self.compression == JPEG
            and self.chunky
            and self.photometric in (RGB, YCBCR)
            and (self.samples, self.bits) == (3, 8)
        )


def storage(directory: Directory) -> Storage:
    """Return the storage of a directory's pixels, with TIFF's defaults for missing tags.

    Invalid tags count as missing, as in libtiff.

    Raises:
        OSError: If the file cannot be read.
    """
    numbers = _values(directory, tiff.SAMPLE_FORMAT, UNSIGNED)
    orientation = tag_value(directory, tiff.ORIENTATION, 1)
    return Storage(
        compression=tag_value(directory, tiff.COMPRESSION, 1),
        photometric=tag_value(directory, tiff.PHOTOMETRIC, -1),
        samples=tag_value(directory, tiff.SAMPLES_PER_PIXEL, 1),
        bits=max(_values(directory, tiff.BITS_PER_SAMPLE, 1)),
        number=next((n for n in numbers if n not in (UNSIGNED, UNDEFINED)), UNSIGNED),
        extra=_values(directory, tiff.EXTRA_SAMPLES, 0)[0],
        chunky=tag_value(directory, tiff.PLANAR_CONFIGURATION, CHUNKY) == CHUNKY,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        depth=tag_value(directory, IMAGE_DEPTH, 1),
        subsampling=tuple(_values(directory, YCBCR_SUBSAMPLING, 2)),
    )


def tag_value(directory: Directory, code: int, default: int) -> int:
    """Return the number in a tag; the default if the tag is missing or invalid."""
    try:
        return directory.number(code, default)
    except TiffError:
        return default


def _values(directory: Directory, code: int, default: int) -> list[int]:
    """Return the numbers in a tag, at least one; the default as in `tag_value`."""
    if code not in directory.tags:
        return [default]
    try:
        return directory.numbers(code, MOST_SAMPLES).tolist() or [default]
    except TiffError:
        return [default]
