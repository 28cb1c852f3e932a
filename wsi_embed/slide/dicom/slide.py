"""Reader of DICOM slides with JPEG frames: OpenSlide's pixels in a fraction of its time."""

from __future__ import annotations

from wsi_embed.slide.colour.check import check_colours
from wsi_embed.slide.decoded_slide import DecodedSlide
from wsi_embed.slide.dicom.elements import DicomError
from wsi_embed.slide.dicom.instance import DicomInstance, dicom_instances, without_copies
from wsi_embed.slide.dicom.level import DicomLevel
from wsi_embed.slide.openslide.slide import OpenSlideSlide


class DicomSlide(DecodedSlide):
    """Slide whose JPEG frames are decoded by this package; its metadata are read by OpenSlide.

    Pixels are bit-identical to OpenSlide's. Levels that cannot be decoded directly are read by OpenSlide, and
    so are those whose downsample is not an integer, between whose pixels it interpolates.

    Args:
        slide: The slide as OpenSlide opened it; closed together with this one.

    Raises:
        DicomError: If level 0 is of another kind; `slide` stays open.
        SlideError: If the metadata state other colours than the frames hold.
        OSError: If a file cannot be read.
    """

    reader = "dicom"

    def __init__(self, slide: OpenSlideSlide) -> None:
        super().__init__(slide)
        self.reader = "dicom"
        if slide.vendor != "dicom":
            raise DicomError(f"its format is {slide.vendor}")
        check_colours(slide)
        images = [found for found in without_copies(dicom_instances(slide.path)) if found.is_volume]
        first = _level_of(images, self.level_sizes[0])
        self.tile_size = first.layout.tile_width, first.layout.tile_height
        self._own = [first]
        self._levels = [first, *(self._further(images, n) for n in range(1, len(self.level_sizes)))]

    def _further(self, images: list[DicomInstance], number: int) -> DicomLevel | None:
        """Return a coarser level; None if it is left to OpenSlide."""
        if self._slide.interpolates(number) or self._slide.padded(number):
            return None
        try:
            level = _level_of(images, self.level_sizes[number])
        except DicomError:
            return None
        self._own.append(level)
        return level

    def close(self) -> None:
        """Close the files. May be called several times."""
        for level in self._own:
            level.close()
        super().close()


def _level_of(images: list[DicomInstance], size: tuple[int, int]) -> DicomLevel:
    """Return the level of a size, from the only image that has it.

    Raises:
        DicomError: If there are several, or its frames are of another kind.
    """
    parts = [image for image in images if image.matrix == size]
    if len({part.concatenation or part.path.name for part in parts}) != 1:
        raise DicomError("several of its images have the size of a level")
    return DicomLevel(parts)
