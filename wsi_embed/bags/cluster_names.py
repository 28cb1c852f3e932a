"""Names and colours that people give to clusters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError

NAMES, COLOURS = "names", "colours"
LONGEST = 80
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class ClusterNames:
    """Names and colours of clusters. Clusters of the same name are shown as one class, in one colour.

    Attributes:
        names: Names by cluster; a cluster without one is called `cluster N`.
        colours: Colours (red, green, blue), 0 to 255, by cluster.

    Example:
        >>> from wsi_embed.bags.cluster_names import ClusterNames
        >>> names = ClusterNames({0: "stroma", 2: "stroma"}, {0: (200, 90, 160)})
        >>> names[2], names[1], names.first(2)
        ('stroma', 'cluster 1', 0)
    """

    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)

    def __getitem__(self, cluster: int) -> str:
        return self.names.get(cluster, f"cluster {cluster}")

    def __bool__(self) -> bool:
        return bool(self.names or self.colours)

    def first(self, cluster: int) -> int:
        """Return the first cluster of the same name, whose colour all of them have."""
        name = self.names.get(cluster)
        return cluster if name is None else min(c for c, other in self.names.items() if other == name)

    def colour(self, cluster: int) -> tuple[int, int, int] | None:
        """Return the colour given to a cluster, or to one of the same name; None if there is none."""
        same = [cluster, *(c for c in sorted(self.names) if self.names[c] == self.names.get(cluster))]
        return next((self.colours[c] for c in same if c in self.colours), None)

    def to_dict(self) -> dict[str, dict[str, str]]:
        """Return the parts of `clusters.json` with the names and colours; empty ones are left out."""
        names = {str(cluster): self.names[cluster] for cluster in sorted(self.names)}
        colours = {str(c): "#{:02x}{:02x}{:02x}".format(*self.colours[c]) for c in sorted(self.colours)}
        return {key: part for key, part in ((NAMES, names), (COLOURS, colours)) if part}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], clusters: int, where: Path) -> ClusterNames:
        """Read names and colours from the contents of `clusters.json`.

        Args:
            document: The contents.
            clusters: Number of clusters.
            where: The file, for messages.

        Raises:
            UsageError: If a cluster does not exist, or a name or colour is none.
        """
        names = {
            _cluster(key, clusters, where): _name(name, where)
            for key, name in _part(document, NAMES, where).items()
        }
        colours = {
            _cluster(key, clusters, where): _rgb(colour, where)
            for key, colour in _part(document, COLOURS, where).items()
        }
        return cls(names, colours)


def read_names(path: Path, clusters: int, model_id: str) -> ClusterNames:
    """Read names and colours of a model's own clusters.

    Args:
        path: A JSON file with `names` and `colours`, and optionally the `model_id` they belong to.
        clusters: Number of clusters of the model.
        model_id: Id of the model.

    Raises:
        UsageError: If the file cannot be read, is not such a file, or belongs to another model.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"names of clusters cannot be read ({error})", where=path) from error
    if not isinstance(document, dict) or not document.keys() & {NAMES, COLOURS}:
        raise UsageError(f"has no {NAMES!r} and no {COLOURS!r} of clusters", where=path)
    if document.get("model_id", model_id) != model_id:
        raise UsageError(
            f"names the clusters of {document['model_id']}, but these are of {model_id}", where=path
        )
    return ClusterNames.from_dict(document, clusters, path)


def _part(document: Mapping[str, Any], key: str, where: Path) -> Mapping[str, Any]:
    part = document.get(key, {})
    if not isinstance(part, dict):
        raise UsageError(f"{key!r}: an object with a text for each cluster number is expected", where=where)
    return part


def _cluster(key: str, clusters: int, where: Path) -> int:
    if not (key.isascii() and key.isdecimal() and int(key) < clusters):
        raise UsageError(f"there is no cluster {key!r}; they are 0 to {clusters - 1}", where=where)
    return int(key)


def _name(name: object, where: Path) -> str:
    text = name.strip() if isinstance(name, str) else ""
    if not text or len(text) > LONGEST or not text.isprintable():
        raise UsageError(
            f"{name!r} is no name of a cluster: one line of 1 to {LONGEST} characters", where=where
        )
    return text


def _rgb(colour: object, where: Path) -> tuple[int, int, int]:
    if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
        raise UsageError(f"{colour!r} is no colour, such as '#1f77b4'", where=where)
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
