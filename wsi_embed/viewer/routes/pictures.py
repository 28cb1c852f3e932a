"""Pictures of slides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wsi_embed.bags.damage import damage_named
from wsi_embed.util.digest import canonical_digest
from wsi_embed.viewer.endpoints import reading
from wsi_embed.viewer.layers import check_present
from wsi_embed.viewer.open_slides import stamp
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
    """Return a deep-zoom tile of the version of the slide that the query names: `?v=...`.

    A browser need not ask for it again for an hour, because another slide has another version.
    """
    place = (request.path_params["level"], request.path_params["column"], request.path_params["row"])
    version = request.query_params.get("v")
    picture = deep_zoom_tile(session, *slide_of(session, request), place, version)
    return _jpeg(picture, {"cache-control": "no-cache" if version is None else "private, max-age=3600"})


def get_thumbnail(session: Session, request: Request) -> Response:
    """Return the thumbnail of a slide."""
    shown, slide_id = slide_of(session, request)
    key = [slide_id, *stamp(shown.item(slide_id).path)]
    return _asked_again(request, key, lambda: thumbnail(session, shown, slide_id))


def get_store_tile(session: Session, request: Request) -> Response:
    """Return the picture of one tile of the store, at the side that the query asks for: `?px=224`."""
    shown, slide_id = slide_of(session, request)
    bag, number = check_present(shown.bag(slide_id), slide_id), request.path_params["number"]
    if not 0 <= number < len(bag):
        raise KeyError(number)
    asked = request.query_params.get("px", "")
    px = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 5 else 224
    px = min(max(px, LEAST_PX), MOST_PX)

    def read() -> bytes:
        with damage_named(slide_id):
            x, y = (int(value) for value in bag.coords[number : number + 1][0])
            box = (x, y, float(bag.attrs["extent"]))
        return region(session, shown, slide_id, box, px)

    key = [slide_id, *stamp(shown.item(slide_id).path), bag.attrs.get("digest"), number, px]
    return _asked_again(request, key, read)


def _asked_again(request: Request, key: list[Any], make: Callable[[], bytes]) -> Response:
    """Return a picture about which the browser asks each time, because another viewer has the same address.

    Args:
        request: The request.
        key: Values that differ between pictures.
        make: Function that makes the picture; not called if the browser has it.
    """
    tag = f'"{canonical_digest(key)}"'
    headers = {"cache-control": "private, no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return _jpeg(make(), headers)


def _jpeg(picture: bytes, headers: dict[str, str]) -> Response:
    return Response(picture, 200, headers, media_type="image/jpeg")
