"""Pictures of the slides of a report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from wsi_embed.errors import WsiEmbedError
from wsi_embed.jobs.report import JobReport
from wsi_embed.storage import Location

# With pictures of more slides the page would be too large for browsers.
MOST_PICTURES, MOST_PREVIEWS = 200, 2000
PICTURE_PX = 320

Pictures = Mapping[str, Sequence[tuple[str, Image.Image]]]
# Colours by name, RGB.
Legend = Mapping[str, tuple[int, int, int]]


def draw_slides(
    report: JobReport, paths: Mapping[str, Path], store: str | Location
) -> tuple[Pictures, Legend]:
    """Draw the slides of a report: the outline of their tissue, and the map of their clusters.

    Args:
        report: Report of the job.
        paths: Paths of local slides by id.
        store: The store.

    Returns:
        Captions and pictures by slide id, of at most 200 slides, starting with those with warnings, and the
        colours of their clusters by name. Slides that cannot be drawn are left out, so that the report of a
        finished job does not fail.
    """
    from wsi_embed.plot import draw_views
    from wsi_embed.plot.bag_tiles import open_embedded, read_tiles
    from wsi_embed.plot.colours import cluster_colour
    from wsi_embed.store import open_store

    shown = [s for s in report.slides if s.status in ("done", "skipped") and s.slide_id in paths]
    shown.sort(key=lambda s: not (s.warnings or s.slide_id in report.outliers))
    pictures: dict[str, Sequence[tuple[str, Image.Image]]] = {}
    if not shown:
        return pictures, {}  # the store may not exist
    opened, clusters = open_store(store), set[int]()
    for result in shown[:MOST_PICTURES]:
        try:
            bag = opened[result.slide_id]
            with open_embedded(paths[result.slide_id], bag) as slide:
                left, right = draw_views(slide, bag, max_px=PICTURE_PX)
            clusters |= read_tiles(bag).counts.keys()
        except (WsiEmbedError, KeyError):
            continue
        pictures[result.slide_id] = [("tissue", left), ("clusters", right)]
    names = opened.cluster_names
    return pictures, {names[number]: cluster_colour(number, names) for number in sorted(clusters)}


def previews(report: JobReport) -> Pictures:
    """Return the pictures that were drawn while the slides were prepared, of at most 2000 slides."""
    drawn = [s for s in report.slides if s.previews][:MOST_PREVIEWS]
    return {
        s.slide_id: [(caption, Image.open(io.BytesIO(data))) for caption, data in s.previews.items()]
        for s in drawn
    }
