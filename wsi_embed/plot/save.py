"""Picture files for print: lossless, with their resolution."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.util.atomic_files import replacing

FORMATS = ("png", "tiff")


def save_picture(picture: Image.Image, path: Path, *, dpi: int = 300) -> None:
    """Write a picture; it appears whole or not at all.

    Args:
        picture: RGB.
        path: Ends in `.png` or `.tiff`.
        dpi: Pixels per inch, recorded in the file: the size it has in print.

    Raises:
        UsageError: There is no such format, or the resolution makes no sense.
        WsiEmbedError: The file cannot be written.
    """
    kind = path.suffix.lstrip(".")
    check_print(kind, dpi)
    options = {"compression": "tiff_deflate"} if kind == "tiff" else {}
    try:
        with replacing(path) as part:
            picture.save(part, kind.upper(), dpi=(dpi, dpi), **options)
    except OSError as error:
        raise WsiEmbedError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or check permissions"
        ) from error


def check_print(kind: str, dpi: int) -> None:
    """Refuse a format or a resolution before any work.

    Raises:
        UsageError: There is no such format, or the resolution makes no sense.
    """
    if kind not in FORMATS:
        raise UsageError(f"--format {kind}: choose {' or '.join(FORMATS)}")
    if dpi < 1:
        raise UsageError(f"--dpi {dpi}: pixels per inch, 1 or more, are expected")
