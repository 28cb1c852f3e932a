"""Which files of a folder are slides, by their names. docs/formats.md says what each is."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from wsi_embed.util.registry import Registry

if TYPE_CHECKING:
    from wsi_embed.slide.base import Slide

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

SLIDE_SUFFIXES = IMAGE_SUFFIXES | {
    ".svs", ".tif", ".tiff", ".tf2", ".tf8", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide",
    ".bif", ".czi", ".avs", ".dcm",
}  # fmt: skip

# Slides that nothing here reads. They are found all the same, and fail with a reason: a folder is never
# half done in silence.
FOREIGN_SUFFIXES = {
    ".isyntax": "Philips iSyntax",
    ".i2syntax": "Philips iSyntax",
    ".kfb": "KFBio",
    ".sdpc": "TEKSQRAY",
    ".vsi": "Olympus VSI",
    ".nd2": "Nikon ND2",
    ".qptiff": "Akoya QPTIFF",
    ".mdsx": "Motic",
    ".tmap": "Unic TMAP",
    ".ozx": "OME-Zarr",
    ".zarr.zip": "OME-Zarr",
}
# Readers of other packages by the suffixes of the files that they read: docs/extending.md.
SUFFIXES: Registry[type[Slide]] = Registry(
    "reader of", {}, group="wsi_embed.suffixes", base="wsi_embed.slide.base:Slide"
)
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")


def named_as_slide(name: str) -> bool:
    """Whether a file is a slide by its name, of a format that is read or not."""
    suffix = PurePosixPath(name).suffix.lower()
    named = (foreign_format, packed_slide, added_suffix)
    return suffix in SLIDE_SUFFIXES or any(kind(name) is not None for kind in named)


def added_suffix(name: str) -> str | None:
    """Return the suffix by which a file is for the reader of another package; None for other files.

    Files with a suffix of `SLIDE_SUFFIXES` are read by this package.
    """
    lower = name.lower()
    if PurePosixPath(lower).suffix in SLIDE_SUFFIXES:
        return None
    return max((suffix for suffix in SUFFIXES if lower.endswith(suffix)), key=len, default=None)


def foreign_format(name: str) -> str | None:
    """The format of a slide that nothing here reads, by its file's name; None for other files."""
    lower = name.lower()
    return next((kind for suffix, kind in FOREIGN_SUFFIXES.items() if lower.endswith(suffix)), None)


def packed_slide(name: str) -> str | None:
    """The name of the slide in a compressed file (`a.svs` of `a.svs.gz`); None for other files."""
    path = PurePosixPath(name)
    inner = PurePosixPath(path.stem).suffix.lower()
    packed = path.suffix.lower() in PACKED_SUFFIXES and inner in SLIDE_SUFFIXES - IMAGE_SUFFIXES
    return path.stem if packed else None
