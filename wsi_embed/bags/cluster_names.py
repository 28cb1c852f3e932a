"""Names and colours that people give to clusters."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsi_embed.bags.json_document import read_document
from wsi_embed.errors import UsageError

NAMES, COLOURS = "names", "colours"
LONGEST = 80
# Keys that people write for ours.
_MISTAKEN = {"name": NAMES, "names": NAMES} | dict.fromkeys(("color", "colors", "colour", "colours"), COLOURS)
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
            UsageError: If a cluster does not exist, a name or colour is none, or a name is that of a cluster
                without one.
        """
        for key, right in _mistaken_keys(document).items():
            raise UsageError(f"there is no key {key!r}", where=where, remedy=f"write {right!r}")
        names = {
            _cluster(key, clusters, where): _name(name, where)
            for key, name in _part(document, NAMES, where).items()
        }
        colours = {
            _cluster(key, clusters, where): _rgb(colour, where)
            for key, colour in _part(document, COLOURS, where).items()
        }
        _check_distinct(names, clusters, where)
        return cls(names, colours)


def are_given(document: Mapping[str, Any]) -> bool:
    """Return whether a `clusters.json` has names or colours, under whichever key."""
    return bool(document.get(NAMES) or document.get(COLOURS) or _mistaken_keys(document))


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
        document = read_document(path)
    except OSError as error:
        raise UsageError(f"names of clusters cannot be read ({error.strerror})", where=path) from error
    if not are_given(document) and not document.keys() & {NAMES, COLOURS}:
        raise UsageError(f"has no {NAMES!r} and no {COLOURS!r} of clusters", where=path)
    if document.get("model_id", model_id) != model_id:
        raise UsageError(
            f"names the clusters of {document['model_id']}, but these are of {model_id}", where=path
        )
    return ClusterNames.from_dict(document, clusters, path)


def _mistaken_keys(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys that are nearly ours and hold values of several clusters, each with the right key."""
    return {
        key: right
        for key, value in document.items()
        if isinstance(value, dict | list) and (right := _MISTAKEN.get(key.strip().lower(), key)) != key
    }


def _check_distinct(names: Mapping[int, str], clusters: int, where: Path) -> None:
    """Check that no name is what a cluster without a name is called."""
    unnamed = {f"cluster {number}" for number in range(clusters) if number not in names}
    for cluster, name in names.items():
        if name in unnamed:
            raise UsageError(
                f"cluster {cluster} is named {name!r}, as another cluster is called without a name",
                where=where,
                remedy="choose another name",
            )


def _part(document: Mapping[str, Any], key: str, where: Path) -> Mapping[str, Any]:
    part = document.get(key, {})
    if not isinstance(part, dict):
        raise UsageError(f"{key!r}: an object with a text for each cluster number is expected", where=where)
    return part


def _cluster(key: str, clusters: int, where: Path) -> int:
    numbers = {str(number): number for number in range(clusters)}
    if key not in numbers:
        raise UsageError(
            f"there is no cluster {reprlib.repr(key)}; they are 0 to {clusters - 1}", where=where
        )
    return numbers[key]


def _name(name: object, where: Path) -> str:
    text = name.strip() if isinstance(name, str) else ""
    if not text or len(text) > LONGEST or not text.isprintable():
        raise UsageError(
            f"{reprlib.repr(name)} is no name of a cluster: one line of 1 to {LONGEST} characters",
            where=where,
        )
    return text


def _rgb(colour: object, where: Path) -> tuple[int, int, int]:
    if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
        raise UsageError(f"{reprlib.repr(colour)} is no colour, such as '#1f77b4'", where=where)
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
