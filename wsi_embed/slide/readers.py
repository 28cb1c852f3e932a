"""Choice of the reader that opens a slide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, unreadable
from wsi_embed.slide.dicom.files import dicom_series, named_as_dicom
from wsi_embed.slide.ome_zarr.detection import is_ome_zarr
from wsi_embed.slide.suffixes import SUFFIXES, added_suffix
from wsi_embed.util.links import broken_link
from wsi_embed.util.registry import Registry
from wsi_embed.util.versions import version_of

# Name of a reader, a key of `READERS`.
Reader = str
# Functions that open a slide, by reader. Other packages can add their own: docs/extending.md.
READERS: Registry[Callable[[Path], Slide]] = Registry(
    "reader",
    {
        "auto": "wsi_embed.slide.opening:open_auto",
        "openslide": "wsi_embed.slide.opening:open_with_openslide",
        "tiff": "wsi_embed.slide.opening:open_as_tiff",
        "dicom": "wsi_embed.slide.opening:open_as_dicom",
        "zarr": "wsi_embed.slide.opening:open_as_zarr",
        "fastslide": "wsi_embed.slide.opening:open_with_fastslide",
    },
    group="wsi_embed.readers",
    base="wsi_embed.slide.base:Slide",
)


def open_slide(path: str | Path, reader: Reader = "auto") -> Slide:
    """Open a slide with a suitable reader.

    Args:
        path: A file OpenSlide knows (SVS, TIFF, NDPI, MRXS, DICOM, ...), a PNG or JPEG image, an OME-Zarr
            (folder or zip archive), or a file for the reader of another package.
        reader: `openslide`, `tiff` or `dicom` (slides with JPEG tiles, docs/formats.md), which leave PNG and
            JPEG images to Pillow; `zarr` (OME-Zarr); `fastslide` (CZI, iSyntax, VSI; extra `formats`); that
            of another package (docs/extending.md); or `auto`, which is `zarr`, `tiff` or `dicom` if possible,
            and other packages' readers for files with their suffixes.

    Returns:
        An open slide, to be used as a context manager, from any number of threads.

    Raises:
        SlideError: If the file is missing, empty, not a slide, or not supported by the reader.
        UsageError: If there is no such reader, or its package cannot be used.

    Example:
        >>> import wsi_embed
        >>> with wsi_embed.open_slide("slides/a.tiff") as slide:
        ...     slide.mpp
        (0.5, 0.5)
    """
    read = READERS.get(reader)
    path = Path(path)
    _check_file(path)
    suffix = added_suffix(path.name) if reader == "auto" else None
    if suffix is not None:
        return _open_added(path, SUFFIXES.get(suffix))
    return _open_added(path, read) if READERS.version_of(reader) else read(path)


def _open_added(path: Path, read: Callable[[Path], Slide]) -> Slide:
    """Open a slide with the reader of another package."""
    try:
        slide = read(path)
    except OSError as error:
        raise unreadable(path, error) from error
    slide.reader_decides = True  # other readers may return other pixels
    return slide


def reader_version(reader: str) -> dict[str, str]:
    """Return name and version of the package that a reader is from; empty for readers of this package.

    Those that need an optional package have its version.
    """
    if reader == "fastslide":
        return {reader: version_of(reader)}
    return READERS.version_of(reader)


def _folder_fault(path: Path) -> SlideError:
    """Return the error for a folder that is not a slide, with the file to use instead."""
    files = sorted(file for file in path.iterdir() if named_as_dicom(file) and file.is_file())
    if first := next((file for file in files if dicom_series(file)), None):
        return SlideError(
            "is a folder of DICOM files",
            remedy=f"name one of them, such as {path.name}/{first.name}: the others of its series belong to "
            "it",
        )
    return SlideError("is a folder, not a slide", remedy="check the path")


def check_reader(reader: str) -> None:
    """Check that a reader exists and can be used.

    Raises:
        UsageError: If there is no such reader, or its package cannot be used.
    """
    READERS.check(reader)


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # raises if the folder cannot be listed
            if is_ome_zarr(path):
                return
            raise _folder_fault(path).at(path)
        if link := broken_link(path):
            raise SlideError(link, where=path, remedy="let it lead to the slide, or delete it")
        if not path.is_file():
            raise SlideError("no such file", where=path, remedy="check the path")
        if path.stat().st_size == 0:
            raise SlideError("the file is empty (0 bytes)", where=path, remedy="copy it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SlideError(
            f"cannot be opened ({error.strerror})", where=path, remedy="check its permissions"
        ) from error
