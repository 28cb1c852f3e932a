"""Which files of a folder are slides, by their names. docs/formats.md says what each is."""

from __future__ import annotations

from pathlib import PurePosixPath

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
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")


def named_as_slide(name: str) -> bool:
    """Whether a file is a slide by its name, of a format that is read or not."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in SLIDE_SUFFIXES or foreign_format(name) is not None or packed_slide(name) is not None


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
