"""Pictures of slides."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_embed.viewer.endpoints import reading
from wsi_embed.viewer.layers import check_present
from wsi_embed.viewer.pictures import deep_zoom_tile, region, thumbnail
from wsi_embed.viewer.routes.slides import SLIDE, slide_of
from wsi_embed.viewer.session import Session

# Sides of the pictures of single tiles, pixels.
LEAST_PX, MOST_PX = 16, 512


def routes(session: Session) -> list[Route]:
    """Return the routes."""
    return [
        reading(f"{SLIDE}/thumbnail.jpg", partial(get_thumbnail, session)),
        reading(f"{SLIDE}/pyramid/{{level:int}}/{{column:int}}_{{row:int}}.jpg", partial(get_tile, session)),
        reading(f"{SLIDE}/tiles/{{number:int}}.jpg", partial(get_store_tile, session)),
    ]


def get_tile(session: Session, request: Request) -> Response:
    """Return a deep-zoom tile."""
    place = (request.path_params["level"], request.path_params["column"], request.path_params["row"])
    return _jpeg(deep_zoom_tile(session, *slide_of(session, request), place))


def get_thumbnail(session: Session, request: Request) -> Response:
    """Return the thumbnail of a slide."""
    return _jpeg(thumbnail(session, *slide_of(session, request)))


def get_store_tile(session: Session, request: Request) -> Response:
    """Return the picture of one tile of the store, at the side that the query asks for: `?px=224`."""
    shown, slide_id = slide_of(session, request)
    bag, number = check_present(shown.bag(slide_id), slide_id), request.path_params["number"]
    if not 0 <= number < len(bag):
        raise KeyError(number)
    asked = request.query_params.get("px", "")
    px = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 5 else 224
    x, y = (int(value) for value in bag.coords[number : number + 1][0])
    box = (x, y, float(bag.attrs["extent"]))
    return _jpeg(region(session, shown, slide_id, box, min(max(px, LEAST_PX), MOST_PX)))


def _jpeg(picture: bytes) -> Response:
    # addresses have the slide's version; a browser need not ask again for an hour
    return Response(picture, 200, {"cache-control": "private, max-age=3600"}, media_type="image/jpeg")
