"""Changes to names and colours of clusters, such that the clusters of a name keep a single colour."""

from __future__ import annotations

from collections.abc import Iterable

from wsi_embed.bags.cluster_names import ClusterNames
from wsi_embed.errors import UsageError
from wsi_embed.util.text import names_of

Rgb = tuple[int, int, int]


def renamed(names: ClusterNames, clusters: Iterable[int], name: str | None) -> ClusterNames:
    """Give clusters a name.

    If other clusters have the name already, all of them are one class with the colour of these. A cluster
    that leaves a class loses the colour of the class.

    Args:
        names: The present names.
        clusters: The clusters.
        name: Name; None removes that of each cluster.

    Example:
        >>> from wsi_embed.bags.cluster_changes import renamed
        >>> from wsi_embed.bags.cluster_names import ClusterNames
        >>> renamed(ClusterNames({0: "stroma"}, {0: (9, 9, 9)}), [2], "stroma").colour(2)
        (9, 9, 9)
    """
    chosen = list(dict.fromkeys(clusters))
    others = {cluster: text for cluster, text in names.names.items() if cluster not in chosen}
    left = {c for c in chosen if names.names.get(c) in others.values() and names.names[c] != name}
    colours = {cluster: colour for cluster, colour in names.colours.items() if cluster not in left}
    if name is None:
        return ClusterNames(others, colours)
    same = [*(c for c in others if others[c] == name), *chosen]
    colour = next((colours[c] for c in same if c in colours), None)
    changed = ClusterNames(others | dict.fromkeys(chosen, name), colours)
    return changed if colour is None else recoloured(changed, chosen, colour)


def recoloured(names: ClusterNames, clusters: Iterable[int], colour: Rgb | None) -> ClusterNames:
    """Give clusters, and all others of their names, a colour: red, green, blue, 0 to 255; None removes it."""
    chosen = set(clusters)
    of_names = {names.names[cluster] for cluster in chosen if cluster in names.names}
    same = chosen | {cluster for cluster, text in names.names.items() if text in of_names}
    kept = {cluster: rgb for cluster, rgb in names.colours.items() if cluster not in same}
    return ClusterNames(names.names, kept if colour is None else kept | dict.fromkeys(same, colour))


def merged(names: ClusterNames, clusters: Iterable[int], name: str | None = None) -> ClusterNames:
    """Make clusters one class, with one name and one colour.

    Args:
        names: The present names.
        clusters: At least two clusters.
        name: Name of the class; by default that of the first cluster with a name, else their numbers.

    Raises:
        UsageError: If there are fewer than two clusters.
    """
    chosen = list(dict.fromkeys(clusters))
    if len(chosen) < 2:
        raise UsageError("at least two clusters are needed to merge them")
    numbers = f"clusters {names_of(map(str, sorted(chosen)))}"
    first = next((names.names[c] for c in chosen if c in names.names), numbers)
    colour = next((names.colours[c] for c in chosen if c in names.colours), None)
    changed = renamed(names, chosen, name or first)
    return changed if colour is None else recoloured(changed, chosen, colour)
