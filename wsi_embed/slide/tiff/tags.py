"""Tags of a TIFF: their codes, the types of their values and where these lie (TIFF 6.0, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

NEW_SUBFILE_TYPE, SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 254, 255, 256, 257, 258
COMPRESSION, PHOTOMETRIC, FILL_ORDER, IMAGE_DESCRIPTION = 259, 262, 266, 270
STRIP_OFFSETS, ORIENTATION, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 273, 274, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR_CONFIGURATION = 282, 283, 284
PAGE_NAME, RESOLUTION_UNIT = 285, 296
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 330, 338, 339, 347
REDUCED, MASK = 1, 4  # bits of NewSubfileType
READ = frozenset({
    254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 285, 296,
    322, 323, 324, 325, 330, 338, 339, 347,
})  # fmt: skip

# TIFF's numbers for types: text, fractions of two integers, bytes of any meaning, and integers.
TEXT, FRACTION, ANY = 2, 5, 7
TYPES = {
    TEXT: "u1", ANY: "u1", FRACTION: "u8", 1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4",
    16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
FLOATS = {11: "f4", 12: "f8"}
WIDTHS = {kind: int(name[1:]) for kind, name in (TYPES | FLOATS).items()}


class TiffError(ValueError):
    """Error for a TIFF that is inconsistent or of an unsupported kind; its text is only the reason."""


@dataclass(slots=True)
class Tag:
    """Type, number and position of the values of a tag.

    Values stored in the directory itself are included.

    Attributes:
        kind: TIFF's number of the type.
        count: Number of values.
        offset: Offset of the values in the file.
        inline: The values, if stored in the directory itself.
    """

    kind: int
    count: int
    offset: int
    inline: bytes | None = None
