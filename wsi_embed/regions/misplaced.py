"""Classes that a file of annotations has where they are not looked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wsi_embed.errors import SlideError
from wsi_embed.regions.polygons import Polygon, class_key


def check_class_names(name: str, polygons: Sequence[Polygon], wanted: Collection[str]) -> None:
    """Refuse a file in which a class that is asked for stands in a property that is not read as a class.

    Its polygons would count as being without a class, and be left out, or not be left out.

    Args:
        name: Name of the file.
        polygons: Its polygons.
        wanted: The classes, as `class_key` writes them.

    Raises:
        SlideError: If it is one.
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
