"""Detection of a file's real kind by its first bytes, if it is named like a slide but is none."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = 4096
_STARTS = (
    (b"version https://git-lfs.github.com", "a Git LFS pointer, not the slide; fetch it with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "compressed with gzip; unpack it with `gunzip`"),
    (b"BZh", "compressed with bzip2; unpack it with `bunzip2`"),
    (b"\xfd7zXZ\0", "compressed with xz; unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it with `unzstd`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (b"%PDF", "a PDF document; export the slide itself"),
    (b"\0\x05\x16\x07", "what macOS keeps beside a file; take the one without `._` in its name"),
    (b"<DataObject", "a Philips iSyntax file; name it .isyntax, or export it as TIFF or DICOM"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image; name it .png"),
    (b"\xff\xd8\xff", "a JPEG image; name it .jpg"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image; convert it to a pyramidal TIFF"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 codestream; convert it to a pyramidal TIFF"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; convert it to a pyramidal TIFF"),
    (b"BM", "a BMP image; convert it to PNG"),
    (b"RIFF", "a WebP image or another RIFF file; convert it to PNG"),
    (b"GIF8", "a GIF image; convert it to PNG"),
    (b"II*\0", "a TIFF; name it .tif"),
    (b"MM\0*", "a TIFF; name it .tif"),
    (b"II+\0", "a BigTIFF; name it .tif"),
    (b"MM\0+", "a BigTIFF; name it .tif"),
)  # fmt: skip
_WEB_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)", re.I | re.S)
_WEB_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<error>|\s*\{\s*\"(?:error|message|detail)", re.I)


def content_of(path: Path) -> str | None:
    """Describe what a file is by its first bytes, with a remedy.

    Returns:
        Text that continues "it is"; None if the kind is unknown.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as data:
        head = data.read(HEAD)
    if not any(head):
        return "nothing but zeros where it begins: its copy was not finished; copy it again"
    if _WEB_PAGE.match(head):
        return "a web page, saved in place of the slide (to log in, or of an error?); download it again"
    if _WEB_ERROR.match(head):
        return "the error message of a server, saved in place of the slide; download it again"
    if b"/annex/objects/" in head[:512]:
        return "a git-annex pointer, not the slide; fetch it with `git annex get`"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    return next((text for start, text in _STARTS if head.startswith(start)), None)
