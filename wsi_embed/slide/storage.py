"""How a TIFF stores the pixels of an image: the tags that decide what a decoder makes of them."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_embed.slide.tiff import directory as tiff
from wsi_embed.slide.tiff.directory import Directory, TiffError

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, YCBCR = 0, 1, 2, 3, 4, 6
JPEG, APERIO_JPEG_2000 = 7, (33003, 33005)
CHUNKY = 1
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
YCBCR_SUBSAMPLING, IMAGE_DEPTH = 530, 32997
MOST_SAMPLES = 1024


@dataclass(frozen=True)
class Storage:
    """How the pixels of an image are stored, in TIFF's numbers.

    Attributes:
        compression: Compression scheme.
        photometric: What the samples mean: `RGB`, `YCBCR`, ...; -1 if the file does not say.
        samples: Samples of a pixel.
        bits: Bits of the largest sample.
        number: `UNSIGNED`, `SIGNED`, `FLOAT` or `UNDEFINED`; the first that is not unsigned.
        extra: Meaning of the first extra sample: 1 or 2 if it is transparency.
        chunky: Whether the samples of a pixel lie together.
        orientation: How the image is to be turned for display, 1 to 8; 1 if not at all.
        depth: Focal planes in the image.
        subsampling: Subsampling of the colours of YCbCr, (across, down).
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
        """Whether OpenSlide decodes it as JPEG by itself, without libtiff's conversion to RGBA."""
        return (
            self.compression == JPEG
            and self.chunky
            and self.photometric in (RGB, YCBCR)
            and (self.samples, self.bits) == (3, 8)
        )


def storage(directory: Directory) -> Storage:
    """Return how the pixels of a directory are stored, with TIFF's defaults for tags that are missing.

    Tags that make no sense count as missing, as for libtiff.

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
    """Return the one number of a tag; the default without the tag, or where it makes no sense."""
    try:
        return directory.number(code, default)
    except TiffError:
        return default


def _values(directory: Directory, code: int, default: int) -> list[int]:
    """Return the numbers of a tag, one at least; the default as of `tag_value`."""
    if code not in directory.tags:
        return [default]
    try:
        return directory.numbers(code, MOST_SAMPLES).tolist() or [default]
    except TiffError:
        return [default]
