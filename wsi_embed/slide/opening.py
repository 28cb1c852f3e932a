"""Readers of this package: OpenSlide, JPEG tiles of TIFF and DICOM, OME-Zarr, and Pillow for PNG and JPEG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsi_embed.errors import SlideError
from wsi_embed.slide.base import Slide, unreadable
from wsi_embed.slide.ome_zarr.detection import is_zipped_ome_zarr
from wsi_embed.slide.remedies import OTHER_READER
from wsi_embed.slide.suffixes import IMAGE_SUFFIXES, companion_folder

if TYPE_CHECKING:
    from wsi_embed.slide.openslide.slide import OpenSlideSlide


def open_auto(path: Path) -> Slide:
    """Open a slide with the reader of its JPEG tiles if possible, else with OpenSlide; see `open_slide`."""
    return _open(path, "auto")


def open_with_openslide(path: Path) -> Slide:
    """Open a slide with OpenSlide; see `open_slide`."""
    return _open(path, "openslide")


def open_as_tiff(path: Path) -> Slide:
    """Open a TIFF slide with JPEG tiles; see `open_slide`."""
    return _open(path, "tiff")


def open_as_dicom(path: Path) -> Slide:
    """Open a DICOM slide with JPEG frames; see `open_slide`."""
    return _open(path, "dicom")


def open_as_zarr(path: Path) -> Slide:
    """Open an OME-Zarr, a folder or a zip archive; see `open_slide`."""
    return _open(path, "zarr")


def open_with_fastslide(path: Path) -> Slide:
    """Open a CZI, iSyntax or VSI slide with fastslide; see `open_slide`."""
    from wsi_embed.slide.fastslide import FastSlideSlide

    return FastSlideSlide(path)


def _open(path: Path, reader: str) -> Slide:
    try:
        zarr = path.is_dir() or is_zipped_ome_zarr(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if zarr:
        if reader not in ("auto", "zarr"):
            raise SlideError(f"OME-Zarr is not for the reader {reader}", where=path, remedy=OTHER_READER)
        from wsi_embed.slide.ome_zarr.slide import OmeZarrSlide

        return OmeZarrSlide(path)
    if reader == "zarr":
        raise SlideError("not an OME-Zarr", where=path, remedy=OTHER_READER)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        from wsi_embed.slide.image import ImageSlide

        return ImageSlide(path)
    from wsi_embed.slide.openslide.pixels import check_pixels
    from wsi_embed.slide.openslide.refusals import unknown
    from wsi_embed.slide.openslide.slide import OpenSlideSlide
    from wsi_embed.slide.tiff.tags import TiffError

    if companion_folder(path) is not None:
        raise unknown(path)  # a VSI is a TIFF too, of the label and the overview: its slide is in the folder
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


def _by_reader(slide: OpenSlideSlide, reader: str) -> Slide:
    """Return a slide that OpenSlide opened, wrapped by the requested reader."""
    from wsi_embed.slide.colour.check import check_colours
    from wsi_embed.slide.dicom.elements import DicomError
    from wsi_embed.slide.dicom.slide import DicomSlide
    from wsi_embed.slide.tiff.tags import TiffError
    from wsi_embed.slide.tiff.tiff import TiffSlide

    if reader != "openslide":
        dicom = reader == "dicom" or (reader == "auto" and slide.vendor == "dicom")
        try:
            return DicomSlide(slide) if dicom else TiffSlide(slide)
        except (TiffError, DicomError) as error:
            if reader != "auto":
                raise SlideError(
                    f"not for the {reader.upper()} reader ({error})", where=slide.path, remedy=OTHER_READER
                ) from error
    check_colours(slide)
    slide.close_tiff()
    return slide
