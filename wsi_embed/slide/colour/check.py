"""Detection of slides whose colours OpenSlide would misread: it trusts metadata, not the codestream."""

from __future__ import annotations

import functools
from collections.abc import Collection

from wsi_embed.errors import SlideError
from wsi_embed.slide.colour.photometric import (
    NAMES,
    jpeg2000_colours,
    jpeg_colours,
    misread_as_ycbcr,
    other_samples,
)
from wsi_embed.slide.dicom.frames import sample_frames
from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instances
from wsi_embed.slide.dicom.level import JPEG_BASELINE, WORDS
from wsi_embed.slide.levels.settle import TIFF_VENDORS
from wsi_embed.slide.openslide.level import DICOM_JPEG2000
from wsi_embed.slide.openslide.refusals import EIGHT_BITS
from wsi_embed.slide.openslide.slide import OpenSlideSlide
from wsi_embed.slide.tiff import tags as tiff
from wsi_embed.slide.tiff.directory import Directory
from wsi_embed.slide.tiff.jpeg import RGB, YCBCR
from wsi_embed.slide.tiff.level import JPEG, MOST_TILES, TiffLevel
from wsi_embed.slide.tiff.tags import TiffError
from wsi_embed.slide.tiff.tile_colours import Tiles

APERIO_JPEG2000 = {33003: YCBCR, 33005: RGB}  # Aperio's compression numbers
# Formats in which only OpenSlide finds the JPEGs.
RENDERED = ("hamamatsu", "mirax", "sakura")
SEEN = 512  # side of the region whose colours are checked, pixels
MOST_KNOWN = 65536
_RENDERED_RIGHT: set[str] = set()  # fingerprints
# OpenSlide treats decoded JPEG 2000 frames as RGB, whether or not a colour transform was undone.
DICOM_JPEG2000_WORDS = ("RGB", "YBR_ICT", "YBR_RCT")


def check_colours(slide: OpenSlideSlide) -> None:
    """Check that OpenSlide reads a slide's colours correctly.

    Args:
        slide: The slide as OpenSlide opened it.

    Raises:
        SlideError: If OpenSlide would follow wrong metadata.
        OSError: If a file cannot be read.
    """
    if slide.vendor == "dicom":
        for instance in dicom_instances(slide.path):
            state = instance.path.stat()
            if wrong := _wrong_instance(instance, state.st_size, state.st_mtime_ns):
                raise wrong.at(instance.path)
        return
    if slide.vendor in RENDERED and slide.fingerprint not in _RENDERED_RIGHT:
        _check_rendered(slide)
    settled = slide.vendor in TIFF_VENDORS  # for other vendors any tiled image may be a level
    for image in slide.tiff_images:
        if not image.tiled or (settled and image.facts.size not in slide.stored_sizes):
            continue
        if wrong := wrong_colours(image.directory):
            raise wrong.at(slide.path)


def _check_rendered(slide: OpenSlideSlide) -> None:
    """Check the colours of a slide whose JPEGs only OpenSlide finds, by the middle of its coarsest level.

    Raises:
        SlideError: If its JPEGs hold RGB, and OpenSlide took them for YCbCr.
    """
    level = len(slide.level_sizes) - 1
    width, height = slide.level_sizes[level]
    w, h = min(width, SEEN), min(height, SEEN)
    try:
        seen = slide._read(level, (width - w) // 2, (height - h) // 2, w, h)
    except SlideError:
        return  # reported when these pixels are read
    if misread_as_ycbcr(seen):
        raise SlideError(
            "its JPEG images seem to hold RGB without saying so, and OpenSlide takes them for YCbCr",
            where=slide.path,
            remedy="export it again from the scan",
        )
    if len(_RENDERED_RIGHT) >= MOST_KNOWN:
        _RENDERED_RIGHT.clear()
    _RENDERED_RIGHT.add(slide.fingerprint)


def wrong_colours(directory: Directory) -> SlideError | None:
    """Return the error for a directory whose colours OpenSlide would misread; None if it would not.

    Raises:
        OSError: If the file cannot be read.
    """
    try:
        if directory.number(tiff.COMPRESSION) == JPEG:
            return _wrong_jpeg(TiffLevel(directory))
        if directory.number(tiff.COMPRESSION) in APERIO_JPEG2000:
            return _wrong_jpeg2000(directory)
    except TiffError:  # a kind of TIFF that we do not read
        pass
    return None


def _wrong_jpeg(level: TiffLevel) -> SlideError | None:
    if level.colours == level.said:
        return None
    said, held = NAMES[level.said], NAMES[level.colours]
    return SlideError(
        f"its tag PhotometricInterpretation says {said}, but its JPEG tiles hold {held}, and "
        "OpenSlide believes the tag",
        remedy=f"set it to {level.colours} ({held}), or leave out `reader='openslide'`",
    )


def _wrong_jpeg2000(directory: Directory) -> SlideError | None:
    word = directory.number(tiff.COMPRESSION)
    said = APERIO_JPEG2000[word]
    places = (directory.numbers(code, MOST_TILES) for code in (tiff.TILE_OFFSETS, tiff.TILE_BYTE_COUNTS))
    found = Tiles(directory.file, *places).jpeg2000_colours(said)
    if found.samples:
        return _other_samples("tiles", found.samples)
    if found.mixed:
        return _mixed("JPEG 2000 tiles")
    (colours,) = found.held
    if colours == said:
        return None
    right = next(number for number, meant in APERIO_JPEG2000.items() if meant == colours)
    return SlideError(
        f"its tag Compression, {word}, says that its JPEG 2000 tiles hold {NAMES[said]}, but "
        f"they hold {NAMES[colours]}, and OpenSlide believes the tag",
        remedy=f"set it to {right}",
    )


@functools.lru_cache(maxsize=128)  # a job opens a slide several times
def _wrong_instance(instance: DicomInstance, size: int, changed: int) -> SlideError | None:
    if "VOLUME" not in instance.image_type or instance.samples != 3:  # OpenSlide makes levels only of these
        return None
    if instance.transfer_syntax == JPEG_BASELINE and instance.photometric in WORDS:
        return _wrong_dicom_jpeg(instance, WORDS[instance.photometric])
    if instance.transfer_syntax in DICOM_JPEG2000 and instance.photometric in DICOM_JPEG2000_WORDS:
        return _wrong_dicom_jpeg2000(instance)
    return None


def _wrong_dicom_jpeg(instance: DicomInstance, said: int) -> SlideError | None:
    try:
        held = jpeg_colours(sample_frames(instance), b"", said, *instance.tile)
    except ValueError:  # damaged: reported when it is read
        return None
    if held <= {said}:
        return None
    if len(held) > 1:
        return _mixed("JPEG frames")
    (colours,) = held
    right = next(word for word, meant in WORDS.items() if meant == colours)
    return SlideError(
        f"its PhotometricInterpretation says {instance.photometric}, but its JPEG frames hold "
        f"{NAMES[colours]}, and OpenSlide believes the word",
        remedy=f"set it to {right}, or convert the slide to TIFF",
    )


def _wrong_dicom_jpeg2000(instance: DicomInstance) -> SlideError | None:
    frames = sample_frames(instance)
    if samples := set(filter(None, map(other_samples, frames))):
        return _other_samples("frames", samples)
    held = jpeg2000_colours(frames, RGB)
    if held <= {RGB}:
        return None
    if len(held) > 1:
        return _mixed("JPEG 2000 frames")
    return SlideError(
        f"its PhotometricInterpretation says {instance.photometric}, but its JPEG 2000 frames "
        "hold YCbCr without a colour transform, which OpenSlide takes for RGB",
        remedy="convert the slide to JPEG or TIFF",
    )


def _other_samples(what: str, samples: Collection[str]) -> SlideError:
    return SlideError(
        f"its JPEG 2000 {what} hold {' and '.join(sorted(samples))}, but the file says 8, and OpenSlide "
        "believes it",
        remedy=EIGHT_BITS,
    )


def _mixed(what: str) -> SlideError:
    return SlideError(
        f"some of its {what} hold RGB and others YCbCr",
        remedy="export it again from the scan, with tiles of one kind",
    )
