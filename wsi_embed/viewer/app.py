"""The viewer's web application."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from wsi_embed.viewer.guard import Guard
from wsi_embed.viewer.routes import explore, layers, names, pictures, slides
from wsi_embed.viewer.session import Session

STATIC = Path(__file__).with_name("static")
# Modules whose `routes(session)` are served.
TOPICS = (slides, pictures, layers, explore, names)


def create_app(
    session: Session, *, token: str | None = None, names: Collection[str] = (), framed: bool = False
) -> Starlette:
    """Return the application that serves a session.

    Args:
        session: Stores and slides to show.
        token: Secret that a browser has to show once; None for a server that needs none.
        names: Further names of this machine, which a Host header may have.
        framed: Whether pages of notebooks on this machine may show the viewer in a frame.
    """

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    of_topics = [route for topic in TOPICS for route in topic.routes(session)]
    static = Mount("/static", _Static(directory=STATIC))
    guard = Middleware(Guard, token=token, read_only=session.read_only, names=tuple(names), framed=framed)
    app = Starlette(routes=[Route("/", page), *of_topics, static], middleware=[guard])
    app.state.word = session.word
    return app


class _Static(StaticFiles):
    """Files of the page, which a browser always asks for, so that an update is seen."""

    def file_response(self, *args: object, **more: object) -> Response:
        response = super().file_response(*args, **more)  # type: ignore[arg-type]
        response.headers["cache-control"] = "no-cache"
        return response
