"""Reading of whole-slide images behind one small interface."""

from __future__ import annotations

from wsi_embed.slide.base import Slide, UInt8Array
from wsi_embed.slide.readers import READERS, Reader, open_slide
from wsi_embed.slide.resolution.choice import Resolution, resolve_mpp
from wsi_embed.slide.suffixes import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, SLIDE_SUFFIXES

__all__ = [
    "FOREIGN_SUFFIXES",
    "IMAGE_SUFFIXES",
    "READERS",
    "SLIDE_SUFFIXES",
    "Reader",
    "Resolution",
    "Slide",
    "UInt8Array",
    "open_slide",
    "resolve_mpp",
]
