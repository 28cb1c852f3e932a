"""JPEG pictures of slides: deep-zoom tiles, thumbnails and single tiles of the store."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from wsi_embed.errors import SlideError
from wsi_embed.slide import Slide, UInt8Array
from wsi_embed.viewer.open_slides import stamp
from wsi_embed.viewer.pyramid import read_tile
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore

QUALITY = 87
THUMBNAIL_PX = 192


def deep_zoom_tile(
    session: Session,
    shown: ShownStore,
    slide_id: str,
    place: tuple[int, int, int],
    version: str | None = None,
) -> bytes:
    """Return a deep-zoom tile as JPEG.

    Args:
        session: Session with open slides and cached pictures.
        shown: Store of the slide.
        slide_id: Slide id.
        place: Level, column and row of the tile; see `Pyramid`.
        version: Version of the slide that is expected; see `version_of`.

    Raises:
        KeyError: If there is no such tile.
        SlideError: If the slide is gone, was replaced by another version, or cannot be read.
    """
    with session.reading(shown, slide_id) as found:
        if version not in (None, version_of(found.slide)):
            raise SlideError("was replaced by another file", where=found.slide.path, remedy="open it again")
        key = (id(shown), slide_id, *found.stamp, *place)
        picture = session.pictures.get(key)
        if picture is None:
            picture = jpeg(read_tile(found.slide, *place, found.overview))
            session.pictures.put(key, picture)
    return picture


def thumbnail(session: Session, shown: ShownStore, slide_id: str) -> bytes:
    """Return a thumbnail as JPEG. The slide is closed again, so that a list of slides closes no other.

    Raises:
        SlideError: If the slide cannot be read.
    """
    key = id(shown), slide_id, *stamp(shown.item(slide_id).path), "thumbnail"
    picture = session.pictures.get(key)
    if picture is None:
        with shown.open_slide(slide_id) as slide:
            picture = jpeg(slide.thumbnail(THUMBNAIL_PX, []))
        session.pictures.put(key, picture)
    return picture


def region(session: Session, shown: ShownStore, slide_id: str, box: tuple[int, int, float], px: int) -> bytes:
    """Return a square region of a slide as JPEG, such as a tile of the store.

    Args:
        session: Session with open slides and cached pictures.
        shown: Store of the slide.
        slide_id: Slide id.
        box: Left and top edge, and side, level-0 pixels.
        px: Side of the picture, pixels.

    Raises:
        SlideError: If the slide is gone, or cannot be read.
    """
    x, y, extent = box
    with session.reading(shown, slide_id) as found:
        slide = found.slide
        usable = slide.usable_levels() if len(slide.level_sizes) > 1 else [0]
        level = max(i for i in usable if i == 0 or max(slide.level_scales[i]) <= 1.01 * extent / px)
        sx, sy = slide.level_scales[level]
        size = max(1, round(extent / sx)), max(1, round(extent / sy))
        pixels = slide.read(level, round(x / sx), round(y / sy), *size)
    resized = cv2.resize(pixels, (px, px), interpolation=cv2.INTER_AREA)
    return jpeg(np.asarray(resized, np.uint8))


def version_of(slide: Slide) -> str:
    """Return a short text that differs between slides with other pixels."""
    return slide.fingerprint[:12]


def jpeg(pixels: UInt8Array) -> bytes:
    """Return pixels, uint8 [h, w, 3], as JPEG."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), QUALITY, "RGB", "444")
    return encoded
