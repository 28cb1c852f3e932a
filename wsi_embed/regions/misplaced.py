"""Detection of annotation classes in properties that are not read as classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wsi_embed.errors import SlideError
from wsi_embed.regions.polygons import Polygon, class_key


def check_class_names(name: str, polygons: Sequence[Polygon], wanted: Collection[str]) -> None:
    """Check that no requested class is in a property that is not read as a class.

    Such polygons would count as having no class, and be left out, or not be left out, by mistake.

    Args:
        name: Name of the file.
        polygons: Polygons of the file.
        wanted: Requested classes, as returned by `class_key`.

    Raises:
        SlideError: If a requested class is in such a property.
    """
    for polygon in polygons:
        if polygon.nearest(wanted):
            continue
        for place, text in polygon.unread:
            if {class_key(text), class_key(text.partition(":")[0])} & set(wanted):
                raise SlideError(
                    f"the class {text} stands in the property {place!r}, which is not read as a class",
                    where=name,
                    remedy="call that property `classification`",
                )
