"""Detection of requested classes that an annotation may have, but that are not read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wsi_embed.errors import SlideError
from wsi_embed.regions.polygons import Polygon, class_key


def check_class_names(name: str, polygons: Sequence[Polygon], wanted: Collection[str]) -> None:
    """Check that no requested class is in a property that is not read as a class, or in doubt.

    Such polygons would count as not of the class, and be left out, or not be left out, by mistake.

    Args:
        name: Name of the file.
        polygons: Polygons of the file.
        wanted: Requested classes, as returned by `class_key`.

    Raises:
        SlideError: If a requested class is in such a property, or is one of several groups that may contain
            the group of a polygon.
    """
    for polygon in polygons:
        if polygon.nearest(wanted):
            continue
        if any(class_key(group) in wanted for group in polygon.unsure):
            raise SlideError(
                f"the group {polygon.label} is in several groups ({', '.join(polygon.unsure)}), and its "
                "annotations do not say in which",
                where=name,
                remedy="give each of these groups a name of its own",
            )
        for place, text in polygon.unread:
            if {class_key(text), class_key(text.partition(":")[0])} & set(wanted):
                raise SlideError(
                    f"the class {text} stands in the property {place!r}, which is not read as a class",
                    where=name,
                    remedy="call that property `classification`",
                )
