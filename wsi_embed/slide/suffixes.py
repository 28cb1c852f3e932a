"""Detection of slides by file name. docs/formats.md describes the formats."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from wsi_embed.util.registry import Registry

if TYPE_CHECKING:
    from wsi_embed.slide.base import Slide

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

SLIDE_SUFFIXES = IMAGE_SUFFIXES | {
    ".svs", ".tif", ".tiff", ".tf2", ".tf8", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide",
    ".bif", ".czi", ".avs", ".dcm", ".ozx", ".qptiff",
}  # fmt: skip
# Ends of the names of zipped OME-Zarr.
ZIPPED_ZARR = (".ozx", ".zarr.zip")

# Slides that cannot be read. They are found nevertheless, and fail with a reason, so that no slide of a
# folder is missing silently.
FOREIGN_SUFFIXES = {
    ".isyntax": "Philips iSyntax",
    ".i2syntax": "Philips iSyntax",
    ".kfb": "KFBio",
    ".sdpc": "TEKSQRAY",
    ".vsi": "Olympus VSI",
    ".nd2": "Nikon ND2",
    ".mdsx": "Motic",
    ".tmap": "Unic TMAP",
}
# Readers of other packages, by file suffix: docs/extending.md.
SUFFIXES: Registry[type[Slide]] = Registry(
    "reader of", {}, group="wsi_embed.suffixes", base="wsi_embed.slide.base:Slide"
)
# Formats that the reader `fastslide` may read if it is named.
FASTSLIDE_SUFFIXES = (".isyntax", ".i2syntax", ".vsi")
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")


def named_as_slide(name: str) -> bool:
    """Return whether a file is named like a slide, of a readable format or not."""
    suffix = PurePosixPath(name).suffix.lower()
    named = (foreign_format, packed_slide, added_suffix)
    return (
        suffix in SLIDE_SUFFIXES
        or name.lower().endswith(ZIPPED_ZARR)
        or any(kind(name) is not None for kind in named)
    )


def added_suffix(name: str) -> str | None:
    """Return the suffix of a file for the reader of another package; None for other files.

    Files with a suffix in `SLIDE_SUFFIXES` are read by this package.
    """
    lower = name.lower()
    if PurePosixPath(lower).suffix in SLIDE_SUFFIXES or lower.endswith(ZIPPED_ZARR):
        return None
    return max((suffix for suffix in SUFFIXES if lower.endswith(suffix)), key=len, default=None)


def foreign_format(name: str) -> str | None:
    """Return the name of a slide format that cannot be read, by file name; None for other files."""
    lower = name.lower()
    return next((kind for suffix, kind in FOREIGN_SUFFIXES.items() if lower.endswith(suffix)), None)


def companion_folder(path: Path) -> Path | None:
    """Return the folder with the pixels of a VSI slide (`_a_` for `a.vsi`); None for other formats."""
    return path.with_name(f"_{path.stem}_") if path.suffix.lower() == ".vsi" else None


def packed_slide(name: str) -> str | None:
    """Return the name of the slide in a compressed file (`a.svs` for `a.svs.gz`); None for other files."""
    path = PurePosixPath(name)
    inner = PurePosixPath(path.stem).suffix.lower()
    packed = path.suffix.lower() in PACKED_SUFFIXES and inner in SLIDE_SUFFIXES - IMAGE_SUFFIXES
    return path.stem if packed else None
