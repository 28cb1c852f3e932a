"""Names and colours of clusters, and changes to them."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from wsi_embed.bags.cluster_edits import ClusterNamesFile, NamesState
from wsi_embed.errors import UsageError
from wsi_embed.store import Store, open_store
from wsi_embed.viewer.endpoints import reading, writing
from wsi_embed.viewer.routes.slides import store_of
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def routes(session: Session) -> list[Route]:
    """Return the routes."""
    path = "/api/stores/{store:int}/names"
    return [reading(path, partial(get_names, session)), writing(path, partial(change_names, session))]


def get_names(session: Session, request: Request) -> Any:
    """Return the revision of the names, and whether a step can be undone."""
    shown = store_of(session, request)
    return _answer(shown, _file(shown.store).read())


def change_names(session: Session, request: Request, document: Any) -> Any:
    """Change names or colours.

    The document has `edit` (`rename`, `recolour`, `merge`, `undo` or `redo`) and the `revision` that is
    changed; and for the first three `clusters` with a `name` or a `colour`.
    """
    shown = store_of(session, request)
    edit, revision, clusters, name, colour = _parts(document)
    file = _file(shown.store)
    if edit == "rename":
        state = file.rename(clusters, name, revision)
    elif edit == "recolour":
        state = file.recolour(clusters, colour, revision)
    elif edit == "merge":
        state = file.merge(clusters, name, revision)
    else:
        state = file.undo(revision) if edit == "undo" else file.redo(revision)
    return _answer(shown, state)


def _answer(shown: ShownStore, state: NamesState) -> dict[str, Any]:
    """Return a state as JSON, after the store has taken it over."""
    if state.names != shown.store.cluster_names:
        changed = open_store(shown.store.where, clusters=shown.store.names_path)
        head = shown.store.head
        if head is not None and changed.head is not None and head.digest == changed.head.digest:
            changed.head = head  # the same clusters: nothing has to be counted again
        shown.names_changed(changed)
    return {
        "revision": state.revision,
        "can_undo": state.can_undo,
        "can_redo": state.can_redo,
        "file": shown.store.names_path.name,
    }


def _file(store: Store) -> ClusterNamesFile:
    if store.clusters is None:
        raise UsageError(
            "has no clusters to name", where=store.name, remedy="make them with wsi-embed cluster"
        )
    return ClusterNamesFile(store.names_path, store.clusters, store.model_id)


def _parts(
    document: Any,
) -> tuple[str, str | None, list[int], str | None, tuple[int, int, int] | None]:
    """Return edit, revision, clusters, name and colour of a document.

    Raises:
        UsageError: If one of them is of another kind.
    """
    if not isinstance(document, dict):
        raise UsageError("a JSON object is expected")
    edit, revision, name = (document.get(key) for key in ("edit", "revision", "name"))
    clusters, colour = document.get("clusters", []), document.get("colour")
    known = edit in ("rename", "recolour", "merge", "undo", "redo") and isinstance(revision, str)
    numbers = isinstance(clusters, list) and all(type(cluster) is int for cluster in clusters)
    texts = isinstance(name, str | None) and isinstance(colour, str | None)
    if not (known and numbers and texts and (colour is None or _COLOUR.fullmatch(colour))):
        raise UsageError("that is no change of names or colours")
    rgb = None if colour is None else tuple(bytes.fromhex(colour[1:]))
    return edit, revision, clusters, name, rgb  # type: ignore[return-value]
