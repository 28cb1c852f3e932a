"""Facts about the slides of a folder or manifest, for the command `info`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from wsi_embed.errors import WsiEmbedError
from wsi_embed.inputs.slides import SlideInput, find_slides
from wsi_embed.slide import Reader, open_slide, resolve_mpp
from wsi_embed.storage import Location
from wsi_embed.util.progress import tracked


def describe_slides(path: Location, reader: Reader = "auto") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Describe the slides of a folder or manifest, each of which is opened.

    Args:
        path: Folder, or manifest (CSV, Parquet).
        reader: Reader of the slides; see `open_slide`.

    Returns:
        Facts about all of them, and a row of facts for each slide: its resolution, or why it cannot be used.

    Raises:
        UsageError: If there are no slides, or they are not on this machine.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed.diagnostics.slide_folder import describe_slides
        >>> facts, rows = describe_slides(Path("slides"))
        >>> facts["slides"], rows[0]["slide"]
        (2, 'a.tiff')
    """
    found = find_slides([path])
    rows = [_row(item, reader) for item in tracked(found, "slides opened")]
    return _facts(path, found, rows), rows


def _facts(path: Location, found: Sequence[SlideInput], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    resolutions = Counter(row["mpp"] for row in rows if row.get("mpp") is not None)
    return {
        "kind": "slides",
        "name": path.name,
        "slides": len(rows),
        "not usable": sum("problem" in row for row in rows),
        "size": f"{sum(item.size for item in found) / 1e9:.3g} GB",
        "um per pixel": {f"{mpp:g}": count for mpp, count in sorted(resolutions.items())},
    }


def _row(item: SlideInput, reader: Reader) -> dict[str, Any]:
    row: dict[str, Any] = {"slide": item.name}
    try:
        with open_slide(item.path, reader) as slide:
            width, height = slide.level_sizes[0]
            row |= {"pixels": f"{width} x {height}", "levels": len(slide.usable_levels())}
            row |= {"vendor": slide.vendor, "mpp": round(resolve_mpp(slide, item.mpp).mpp, 4)}
    except WsiEmbedError as error:
        row["problem"] = str(error)
    return row
