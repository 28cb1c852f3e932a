"""Stores, their slides, and what is known about one slide."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from wsi_embed import __version__
from wsi_embed.bags.bag import Bag
from wsi_embed.bags.damage import damage_named
from wsi_embed.slide import Slide
from wsi_embed.viewer.endpoints import reading
from wsi_embed.viewer.pictures import version_of
from wsi_embed.viewer.pyramid import TILE, Pyramid
from wsi_embed.viewer.session import Session
from wsi_embed.viewer.shown_store import ShownStore

SLIDE = "/api/stores/{store:int}/slides/{slide}"


def routes(session: Session) -> list[Route]:
    """Return the routes."""
    return [
        reading("/api/session", partial(describe_session, session)),
        reading("/api/stores/{store:int}/slides", partial(list_slides, session)),
        reading(SLIDE, partial(describe_slide, session)),
    ]


def describe_session(session: Session, request: Request) -> Any:
    """Return the stores, and what the page may do."""
    stores = [{"name": shown.store.name, "clusters": shown.store.clusters} for shown in session.stores]
    return {
        "version": __version__,
        "read_only": session.read_only,
        "stores": stores,
        "notes": list(session.notes),
    }


def list_slides(session: Session, request: Request) -> Any:
    """Return the slides of a store."""
    return {"slides": [asdict(line) for line in store_of(session, request).listing()]}


def describe_slide(session: Session, request: Request) -> Any:
    """Return size, resolution, layers and warnings of a slide."""
    shown, slide_id = slide_of(session, request)
    bag, item = shown.bag(slide_id), shown.items.get(slide_id)
    facts, tile = {} if bag is None else _stored(bag), TILE
    if item is not None:
        with session.reading(shown, slide_id) as found:
            read, tile = _read(found.slide), Pyramid.of(found.slide).tile
        facts = read | facts | {name: read[name] for name in ("width", "height")}
    elif bag is None:
        shown.item(slide_id)  # raises
    layers = {
        "tiles": bag is not None,
        "clusters": bag is not None and bag.cluster is not None,
        "tissue": bag is not None and bag.tissue_mask is not None,
        "contours": item is not None and item.roi is not None,
        "attention": shown.attention is not None and slide_id in shown.attention,
    }
    levels = Pyramid(facts["width"], facts["height"], tile).levels
    pyramid = {"tile": tile, "levels": levels, "picture": item is not None}
    return {"slide_id": slide_id, "warnings": [], **facts, **pyramid, "layers": layers}


def _stored(bag: Bag) -> dict[str, Any]:
    """Return what the store knows about a slide."""
    with damage_named(bag.slide_id):
        return {
            "width": bag.attrs["size"][0],
            "height": bag.attrs["size"][1],
            "mpp": bag.attrs["mpp"],
            "tiles": len(bag),
            "tile_px": bag.attrs["tile_px"],
            "tile_mpp": bag.attrs["effective_mpp"],
        }


def _read(slide: Slide) -> dict[str, Any]:
    """Return what the slide's file says; `version` makes addresses of pictures unique."""
    return {
        "width": slide.level_sizes[0][0],
        "height": slide.level_sizes[0][1],
        "mpp": sum(slide.mpp) / 2 if slide.mpp else None,
        "power": slide.objective_power,
        "vendor": slide.vendor,
        "version": version_of(slide),
        "warnings": list(slide.warnings),
    }


def store_of(session: Session, request: Request) -> ShownStore:
    """Return the store of a request.

    Raises:
        KeyError: If there is no such store.
    """
    number: int = request.path_params["store"]
    if not 0 <= number < len(session.stores):
        raise KeyError(number)
    return session.stores[number]


def slide_of(session: Session, request: Request) -> tuple[ShownStore, str]:
    """Return the store and the slide id of a request.

    Raises:
        KeyError: If there is no such store or slide.
    """
    shown = store_of(session, request)
    return shown, shown.slide_id(request.path_params["slide"])
