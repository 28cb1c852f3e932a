"""Which files of a folder are slides, by their names. docs/formats.md says what each is."""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

SLIDE_SUFFIXES = IMAGE_SUFFIXES | {
    ".svs", ".tif", ".tiff", ".btf", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".czi",
    ".avs", ".dcm",
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
}
