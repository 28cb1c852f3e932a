"""Reading of a slide's group, with the proof that it is complete, unchanged, and of this slide and store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsi_embed.bags.bag import quality_arrays
from wsi_embed.errors import StoreError
from wsi_embed.storage.folder import METADATA_FILE, Place
from wsi_embed.store.layout import DamagedError, find_attributes, group_digest, parse_json

REMEDY = "run wsi-embed verify"
# Settings of a store that its slides repeat.
REPEATED = ("model_id", "tile_px", "mpp", "dtype")
# Number of reads before a group that another process replaces meanwhile counts as changed.
ATTEMPTS = 3


@dataclass(frozen=True)
class Group:
    """Group of a complete slide.

    Attributes:
        attributes: Attributes of the slide.
        documents: Metadata documents of its arrays, by name.
    """

    attributes: dict[str, Any]
    documents: dict[str, Any]


def read_group(folder: Place, settings: Mapping[str, Any]) -> Group | None:
    """Read the group of a slide; None if there is no complete group.

    Args:
        folder: Folder of the group.
        settings: Settings of the store.

    Raises:
        DamagedError: If the group was changed after it was written, or is of another slide or store.
        StoreError: If it cannot be read.
        RemoteError: If object storage cannot be reached, or refuses.
    """
    attributes = complete_attributes(folder, settings)
    for _ in range(ATTEMPTS):
        if attributes is None:
            return None
        documents = _documents(folder, attributes, settings)
        if attributes.get("digest") == group_digest(attributes, documents):
            return Group(attributes, documents)
        before, attributes = attributes, complete_attributes(folder, settings)
        if attributes == before:
            break
    raise DamagedError(
        "attributes or array metadata were changed after they were written",
        where=folder.name,
        remedy=REMEDY,
    )


def complete_attributes(folder: Place, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the attributes of a slide; None if there is no complete group.

    Raises:
        DamagedError: If the attributes are damaged, or of another slide or store.
        StoreError: If they cannot be read.
    """
    try:
        attributes = find_attributes(folder)
    except StoreError as error:
        raise error.replace(where=folder.name, remedy=REMEDY) from error
    if attributes is None:
        return None
    if attributes.get("complete") is not True:
        if "objects" not in attributes:
            return None
        what: str | None = "it was complete once, but its `complete` mark is damaged"
    else:
        what = foreign(folder.name, attributes, settings)
    if what:
        raise DamagedError(what, where=folder.name, remedy=REMEDY)
    return attributes


def foreign(slide_id: str, attributes: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Describe how a group shows that it is of another slide or store; None if it does not.

    Groups of versions before 0.2 do not record their slide id.
    """
    own = attributes.get("slide_id", slide_id)
    if own != slide_id:
        return f"it is the group of another slide, {own}"
    repeated = attributes.get("settings")
    made = dict(repeated) if isinstance(repeated, dict) else {}
    if "model_id" in attributes:
        made["model_id"] = attributes["model_id"]
    for name in REPEATED:
        if name in made and name in settings and made[name] != settings[name]:
            return f"it was made with {name} = {made[name]}, the store has {settings[name]}"
    return None


def _documents(folder: Place, attributes: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read the metadata documents of the arrays that the slide should have, as far as they exist."""
    names = ["features", "coords", "grid", "tissue_fraction"]
    if settings.get("clusters") is not None:
        names += ["cluster", "cluster_confidence"]
    if "tissue_mask_shape" in attributes:
        names.append("tissue_mask")
    names += quality_arrays(attributes)

    def read(name: str) -> Any:
        try:
            return parse_json(folder.read(f"{name}/{METADATA_FILE}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(
                f"cannot be read ({error.strerror or error})", where=f"{folder.name}/{name}"
            ) from error
        except ValueError as error:
            raise DamagedError(
                f"not a Zarr array ({error})", where=f"{folder.name}/{name}", remedy=REMEDY
            ) from error

    found = dict(zip(names, folder.map(read, names), strict=True))
    return {name: document for name, document in found.items() if document is not None}
