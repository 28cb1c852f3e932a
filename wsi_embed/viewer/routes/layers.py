"""Layers of a slide, as packed columns."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_embed.bags.bag import Bag
from wsi_embed.regions import slide_annotations
from wsi_embed.viewer.endpoints import reading
from wsi_embed.viewer.layers import attention_layer, check_present, contour_layer, tile_layer, tissue_layer
from wsi_embed.viewer.packed import packed_response
from wsi_embed.viewer.routes.slides import SLIDE, slide_of
from wsi_embed.viewer.session import Session


def routes(session: Session) -> list[Route]:
    """Return the routes."""
    return [
        reading(f"{SLIDE}/tiles", partial(tiles, session)),
        reading(f"{SLIDE}/tissue", partial(tissue, session)),
        reading(f"{SLIDE}/contours", partial(contours, session)),
        reading(f"{SLIDE}/attention", partial(attention, session)),
    ]


def tiles(session: Session, request: Request) -> Response:
    """Return the tiles with their clusters."""
    return packed_response(*tile_layer(_bag(session, request)))


def tissue(session: Session, request: Request) -> Response:
    """Return the outline of the tissue."""
    return packed_response(*tissue_layer(_bag(session, request)))


def contours(session: Session, request: Request) -> Response:
    """Return the annotated areas."""
    shown, slide_id = slide_of(session, request)
    item = shown.item(slide_id)
    if item.roi is None:
        raise KeyError(slide_id)
    with session.reading(shown, slide_id) as found:
        size, bounds = found.slide.level_sizes[0], found.slide.bounds
    annotations = slide_annotations(item.roi, size, bounds)
    colours = dict(shown.class_colours)
    columns, facts = contour_layer(annotations.polygons, colours)
    return packed_response(columns, {**facts, "warnings": list(annotations.warnings)})


def attention(session: Session, request: Request) -> Response:
    """Return the attention of each tile."""
    shown, slide_id = slide_of(session, request)
    if shown.attention is None:
        raise KeyError(slide_id)
    method = str(shown.attention.attrs.get("method", ""))
    return packed_response(*attention_layer(shown.attention[slide_id], _bag(session, request), method))


def _bag(session: Session, request: Request) -> Bag:
    shown, slide_id = slide_of(session, request)
    return check_present(shown.bag(slide_id), slide_id)
