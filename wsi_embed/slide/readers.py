"""Which reader opens a slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from wsi_embed.errors import SlideError, UsageError
from wsi_embed.slide.base import Slide, unreadable
from wsi_embed.slide.dicom import dicom_series, named_as_dicom
from wsi_embed.slide.ome_zarr import REASON, is_ome_zarr
from wsi_embed.slide.suffixes import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from wsi_embed.slide.openslide import OpenSlideSlide

Reader = Literal["auto", "openslide", "tiff"]
READERS: tuple[Reader, ...] = get_args(Reader)


def open_slide(path: str | Path, reader: Reader = "auto") -> Slide:
    """Open a slide with the reader that fits it.

    Args:
        path: A file OpenSlide knows (SVS, TIFF, NDPI, MRXS, DICOM, ...), or a PNG or JPEG image.
        reader: `openslide` or `tiff` (TIFF slides of JPEG tiles, docs/formats.md); `auto` takes `tiff` where
            it can. PNG and JPEG images are read by Pillow in any case.

    Returns:
        An open slide; use it as a context manager, from as many threads as you like.

    Raises:
        SlideError: The file is missing, empty, not a slide, or of no kind that the reader reads.
        UsageError: There is no such reader.
    """
    check_reader(reader)
    path = Path(path)
    _check_file(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        from wsi_embed.slide.image import ImageSlide

        return ImageSlide(path)
    from wsi_embed.slide.openslide import OpenSlideSlide
    from wsi_embed.slide.pixels import check_pixels
    from wsi_embed.slide.tiff.directory import TiffError

    slide = OpenSlideSlide(path)
    try:
        slide.warnings += check_pixels(slide)
        return _by_reader(slide, reader)
    except (TiffError, OSError) as error:
        slide.close()
        raise unreadable(path, error) from error
    except BaseException:
        slide.close()
        raise


def _by_reader(slide: OpenSlideSlide, reader: Reader) -> Slide:
    """Give a slide that OpenSlide opened to the reader that is asked for."""
    from wsi_embed.slide.colour_check import check_colours
    from wsi_embed.slide.tiff.directory import TiffError
    from wsi_embed.slide.tiff.tiff import TiffSlide

    if reader != "openslide":
        try:
            return TiffSlide(slide)
        except TiffError as error:
            if reader == "tiff":
                reason = f"{slide.path}: not for the TIFF reader ({error}); use --reader auto"
                raise SlideError(reason) from error
    check_colours(slide)
    slide.close_tiff()
    return slide


def _folder_reason(path: Path) -> str:
    """Say why a folder is no slide, and what to name instead."""
    if is_ome_zarr(path):
        return REASON
    files = sorted(file for file in path.iterdir() if named_as_dicom(file) and file.is_file())
    if first := next((file for file in files if dicom_series(file)), None):
        return (
            f"is a folder of DICOM files; name one of them, such as {path.name}/{first.name}: the others of "
            "its series belong to it"
        )
    return "is a folder, not a slide; check the path"


def check_reader(reader: str) -> None:
    """Refuse a reader that is none.

    Raises:
        UsageError: There is no such reader.
    """
    if reader not in READERS:
        raise UsageError(f"--reader {reader}: choose {', '.join(READERS[:-1])} or {READERS[-1]}")


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # a folder that cannot be listed says so
            raise SlideError(f"{path}: {_folder_reason(path)}")
        if not path.is_file():
            raise SlideError(f"{path}: no such file; check the path")
        if path.stat().st_size == 0:
            raise SlideError(f"{path}: the file is empty (0 bytes); copy it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SlideError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
