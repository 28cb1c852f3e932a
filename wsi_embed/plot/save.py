"""Lossless picture files with a print resolution."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from wsi_embed.errors import UsageError, WsiEmbedError
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.text import argument

FORMATS = ("png", "tiff")


def save_picture(picture: Image.Image, path: Path, *, dpi: int = 300) -> None:
    """Write a picture atomically.

    Args:
        picture: RGB picture.
        path: File to write, `.png` or `.tiff`.
        dpi: Pixels per inch, which determine the size in print.

    Raises:
        UsageError: If there is no such format, or `dpi` is less than 1.
        WsiEmbedError: If the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from wsi_embed.plot import save_picture
        >>> save_picture(Image.new("RGB", (600, 300)), Path("figure.png"), dpi=300)
    """
    kind = path.suffix.lstrip(".")
    check_print(kind, dpi)
    options = {"compression": "tiff_deflate"} if kind == "tiff" else {}
    try:
        with replacing(path) as part:
            picture.save(part, kind.upper(), dpi=(dpi, dpi), **options)
    except OSError as error:
        raise WsiEmbedError(
            f"cannot be written ({error.strerror or error})",
            where=path,
            remedy="free some space or check permissions",
        ) from error


def check_print(kind: str, dpi: int) -> None:
    """Check a file format and a resolution.

    Raises:
        UsageError: If there is no such format, or `dpi` is less than 1.
    """
    if kind not in FORMATS:
        raise UsageError(f"choose {' or '.join(FORMATS)}", where=argument("format", kind))
    if dpi < 1:
        raise UsageError("pixels per inch, 1 or more, are expected", where=argument("dpi", dpi))
