"""Similar tiles, tiles of each cluster, and the map of tiles."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from wsi_embed.bags.damage import damage_named
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.explore.similar import SimilarTile, Tile
from wsi_embed.explore.tile_map import METHODS, TileMap
from wsi_embed.plot.typical_tiles import Cluster, Typical
from wsi_embed.viewer.endpoints import reading, waiting
from wsi_embed.viewer.explored import Explored, Once
from wsi_embed.viewer.layers import Columns, hex_colour
from wsi_embed.viewer.packed import packed_response
from wsi_embed.viewer.routes.slides import store_of
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore, slide_key

# Time that a request waits for a result, seconds; the page asks again.
WAIT = 2.0
MOST_TILES, MOST_EXAMPLES = 100, 50
T = TypeVar("T")


def routes(session: Session) -> list[Route]:
    """Return the routes."""
    explored: WeakKeyDictionary[ShownStore, Explored] = WeakKeyDictionary()
    for shown in session.stores:
        explored[shown] = Explored(shown, session.cache)
    store = "/api/stores/{store:int}"
    return [
        reading(f"{store}/similar", partial(find_similar, session, explored)),
        reading(f"{store}/sheet", partial(get_sheet, session, explored)),
        reading(f"{store}/map", partial(get_map, session, explored)),
        reading(f"{store}/map/labels", partial(get_labels, session, explored)),
    ]


def find_similar(
    session: Session, explored: WeakKeyDictionary[ShownStore, Explored], request: Request
) -> Any:
    """Return the tiles most similar to examples: `?like=SLIDE:TILE&unlike=SLIDE:TILE&k=24&per_slide=1`."""
    shown = store_of(session, request)
    like, unlike = (_examples(shown, request.query_params.getlist(name)) for name in ("like", "unlike"))
    once = explored[shown].search
    search = _ask(once)
    if search is None or once.is_outdated(slide_id for slide_id, _ in like + unlike):
        return _waiting(once)
    per_slide = _number(request, "per_slide", None)
    found = search.similar(like, unlike, k=_number(request, "k", 24) or 24, per_slide=per_slide)
    if once.is_outdated(tile.slide_id for tile in found):
        return _waiting(once)
    folder = search.table.folder
    return {
        "complete": True,
        "tiles": [_similar(shown, tile) for tile in found],
        "searched": len(search.table),
        "exact": search.index is None or per_slide is not None,
        "cache": None if folder is None else folder.parent.name,
        "notes": search.table.notes,
    }


def get_sheet(session: Session, explored: WeakKeyDictionary[ShownStore, Explored], request: Request) -> Any:
    """Return typical and atypical tiles of each cluster, and the slides that have it."""
    shown = store_of(session, request)
    once = explored[shown].sheet
    clusters = _ask(once)
    if clusters is None or once.is_outdated(slide_id for each in clusters for slide_id in each.on_slides):
        return _waiting(once)
    return {"complete": True, "clusters": [_cluster(cluster) for cluster in clusters]}


def get_map(session: Session, explored: WeakKeyDictionary[ShownStore, Explored], request: Request) -> Any:
    """Return the map of tiles: `?method=pca`."""
    once = explored[store_of(session, request)].map(_method(request))
    found = _ask(once)
    if found is None or once.is_outdated(found.slide_ids):
        return packed_response({}, _waiting(once))
    return _packed(found)


def get_labels(session: Session, explored: WeakKeyDictionary[ShownStore, Explored], request: Request) -> Any:
    """Return the annotated classes of the tiles of the map: `?method=pca`."""
    shown = store_of(session, request)
    once = explored[shown].labels(_method(request))
    found = _ask(once)
    if found is None or once.is_outdated(found.slide_ids):
        return packed_response({}, _waiting(once))
    colours = [hex_colour(shown.class_colours[name]) for name in found.names]
    names = [name or "annotation" for name in found.names]
    return packed_response({"label": found.codes}, {"complete": True, "names": names, "colours": colours})


def _ask(once: Once[T]) -> T | None:
    """Return a result; None if it is not there soon."""
    with waiting(WAIT) as seconds:
        return once.get(seconds)


def _method(request: Request) -> str:
    method = request.query_params.get("method", METHODS[0])
    if method not in METHODS:
        raise KeyError(method)
    return method


def _packed(found: TileMap) -> Any:
    columns: Columns = {"points": found.points, "slide": found.slide, "tile": found.tile}
    if found.cluster is not None:
        columns["cluster"] = found.cluster
    slides = [{"key": slide_key(slide_id), "slide_id": slide_id} for slide_id in found.slide_ids]
    return packed_response(columns, {"complete": True, "slides": slides, "notes": found.notes})


def _waiting(once: Once[Any]) -> dict[str, Any]:
    done, count = once.done
    return {"complete": False, "done": done, "count": count}


def _examples(shown: ShownStore, texts: Sequence[str]) -> list[Tile]:
    if len(texts) > MOST_EXAMPLES:
        raise UsageError(f"at most {MOST_EXAMPLES} examples are possible")
    found = []
    for text in texts:
        key, _, number = text.rpartition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise KeyError(text)
        found.append((shown.slide_id(key), int(number)))
    return found


def _number(request: Request, name: str, default: int | None) -> int | None:
    text = request.query_params.get(name, "")
    return (
        min(max(1, int(text)), MOST_TILES) if text.isascii() and text.isdigit() and len(text) < 5 else default
    )


def _similar(shown: ShownStore, found: SimilarTile) -> dict[str, Any]:
    cluster = None
    with contextlib.suppress(StoreError), damage_named(found.slide_id):  # the slide says what is damaged
        bag = shown.bag(found.slide_id)
        if bag is not None and bag.cluster is not None:
            cluster = int(np.asarray(bag.cluster[found.tile : found.tile + 1])[0])
    return {
        "key": slide_key(found.slide_id),
        "slide_id": found.slide_id,
        "tile": found.tile,
        "cosine": found.cosine,
        "cluster": cluster,
    }


def _cluster(cluster: Cluster) -> dict[str, Any]:
    slides = sorted(cluster.on_slides.items(), key=lambda item: (-item[1], item[0]))
    return {
        "cluster": cluster.number,
        "tiles": cluster.tiles,
        "typical": [_typical(tile) for tile in cluster.typical],
        "atypical": [_typical(tile) for tile in cluster.atypical],
        "slides": [{"key": slide_key(name), "slide_id": name, "tiles": tiles} for name, tiles in slides],
    }


def _typical(tile: Typical) -> dict[str, Any]:
    return {"key": slide_key(tile.slide_id), "slide_id": tile.slide_id, "tile": tile.row}
