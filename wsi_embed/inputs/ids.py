"""Slide ids, derived from file names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import quote

# Characters of an id, which is the name of a folder; file systems allow 255 bytes.
LONGEST = 240
# Characters of the digest that a shortened id ends with.
DIGEST = 16


def slide_id_of(relative: str) -> str:
    """Return the id of a slide from its path relative to the input folder.

    The extension is removed (a trailing number, as in a DICOM UID, is not one), `/` becomes `__`, and
    characters outside `A-Za-z0-9._-` are percent-encoded. An id beyond 240 characters (27 Japanese
    letters have 243) is shortened, and ends with a digest of the whole.
    """
    whole = encoded_id(relative)
    if len(whole) <= LONGEST:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGEST]
    return re.sub(r"%.?$", "", whole[: LONGEST - DIGEST - 1]) + f"-{digest}"


def encoded_id(relative: str) -> str:
    """Return the id of a slide as `slide_id_of` does, however long."""
    path = Path(relative)
    stem = path if path.suffix[1:].isdigit() else path.with_suffix("")
    slide_id = "__".join(_quoted(part) for part in stem.parts)
    if slide_id.startswith("__"):  # reserved by Zarr
        slide_id = "%5F%5F" + slide_id[2:]
    reserved = set(slide_id) == {"."} or slide_id in ("zarr.json", "index.json")
    return slide_id.replace(".", "%2E") if reserved else slide_id


def _quoted(text: str) -> str:
    # names that are not UTF-8 keep their bytes; quote() itself would keep ~
    return quote(text, safe="", errors="surrogateescape").replace("~", "%7E")
