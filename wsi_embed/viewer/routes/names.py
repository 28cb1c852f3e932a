"""Clusters with their names, colours and shares, and changes to the names."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from wsi_embed.bags.cluster_edits import ClusterNamesFile, NamesState
from wsi_embed.errors import UsageError
from wsi_embed.viewer.endpoints import described, reading, waiting, writing
from wsi_embed.viewer.layers import cluster_classes
from wsi_embed.viewer.routes.slides import store_of
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore

# Time that a request waits for the shares, seconds; the page asks again.
WAIT = 0.2
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def routes(session: Session) -> list[Route]:
    """Return the routes."""
    path = "/api/stores/{store:int}/clusters"
    return [reading(path, partial(list_clusters, session)), writing(path, partial(change_names, session))]


def list_clusters(session: Session, request: Request) -> Any:
    """Return the clusters of a store, with the number of their tiles as far as they are counted.

    The names are those of the file at this moment, and `names` has their revision, so that a change to it is
    one to what the page shows. If the file cannot be read, `names` is None, `problem` says why, and the names
    are those that were read last.
    """
    shown = store_of(session, request)
    try:
        state, problem = None if shown.store.clusters is None else _file(shown).read(), None
    except UsageError as error:
        state, problem = None, described(error, session.word)
    return _answer(shown, state, problem)


def change_names(session: Session, request: Request, document: Any) -> Any:
    """Change names or colours, and return the clusters as `list_clusters` does.

    The document has `edit` (`rename`, `recolour`, `merge`, `undo` or `redo`) and the `revision` that is
    changed; and for the first three `clusters` with a `name` or a `colour`.
    """
    shown = store_of(session, request)
    edit, revision, clusters, name, colour = _parts(document)
    file = _file(shown)
    if edit == "rename":
        state = file.rename(clusters, name, revision)
    elif edit == "recolour":
        state = file.recolour(clusters, colour, revision)
    elif edit == "merge":
        state = file.merge(clusters, name, revision)
    else:
        state = file.undo(revision) if edit == "undo" else file.redo(revision)
    return _answer(shown, state)


def _answer(shown: ShownStore, state: NamesState | None, problem: Any = None) -> dict[str, Any]:
    """Return the clusters with the names of a state, or those that were read last."""
    names = None
    if state is not None:
        shown.names = state.names
        names = {
            "revision": state.revision,
            "can_undo": state.can_undo,
            "can_redo": state.can_redo,
            "file": shown.store.names_path.name,
        }
    with waiting(WAIT) as seconds:
        counts, complete = shown.shares.counts(seconds)
    # not `shown.names`, which another request may have changed meanwhile
    shown_names = shown.names if state is None else state.names
    classes = cluster_classes(shown_names, shown.store.clusters or 0, counts)
    return {"classes": classes, "complete": complete, "names": names, "problem": problem}


def _file(shown: ShownStore) -> ClusterNamesFile:
    store = shown.store
    if store.clusters is None:
        raise UsageError(
            "has no clusters to name", where=store.name, remedy="make them with wsi-embed cluster"
        )
    digest = None if store.head is None else store.head.digest
    return ClusterNamesFile(store.names_path, store.clusters, store.model_id, digest)


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
