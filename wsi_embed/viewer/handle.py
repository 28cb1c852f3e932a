"""Viewer from Python and notebooks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wsi_embed.storage import Location
from wsi_embed.store import Store
from wsi_embed.util.extras import needs_extra
from wsi_embed.viewer.session import open_session

if TYPE_CHECKING:
    from wsi_embed.viewer.server import Listening
    from wsi_embed.viewer.session import Session

HEIGHT_PX = 640


class Viewer:
    """Running viewer. A notebook shows it in a frame; it ends with `close`, or with Python.

    Attributes:
        url: Address to open in a browser.
    """

    def __init__(self, session: Session, listening: Listening) -> None:
        self.url = listening.url
        self._session, self._listening = session, listening
        self._thread = threading.Thread(target=listening.run, name="wsi-embed view", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the server, and close the slides. May be called several times."""
        self._listening.stop()
        self._thread.join()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Viewer({self.url!r})"

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{escape(self.url)}" width="100%" height="{HEIGHT_PX}" style="border:0"></iframe>'
        )


def view(
    store: Store | str | Location | Sequence[Store | str | Location],
    *,
    slides: str | Location | Sequence[str | Location],
    clusters: str | Path | None = None,
    attention: str | Path | None = None,
    annotations: str | Path | None = None,
    report: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    read_only: bool = False,
    cache: str | Path | None = None,
) -> Viewer:
    """Show the slides of a store in a browser or notebook (extra `view`).

    Args:
        store: Store, open or its folder; or several of them.
        slides: Slides of the store: files, folders, manifests.
        clusters: Folder of `wsi-embed cluster`, whose clusters replace those of the model.
        attention: Folder of `wsi-embed eval mil`.
        annotations: Folder with annotation files named like the slides, or the file of a single slide.
        report: JSON report of the job, for slides that failed.
        host: Address to listen on; other machines can only reach the viewer at another one.
        port: Port to listen on; by default 8765, or a free one if that is taken.
        token: Secret that a browser has to show once. For other hosts, one is made by default.
        read_only: Whether the page cannot change anything.
        cache: Folder for the files of the search for similar tiles; that of each store by default.

    Returns:
        The running viewer, to be used as a context manager, or closed by `close`.

    Raises:
        UsageError: If there are no slides, or an argument fits no store.
        StoreError: If a store cannot be opened.
        MissingExtraError: If the extra `view` is not installed.

    Example:
        >>> import wsi_embed
        >>> with wsi_embed.view("feats.zarr", slides="slides/") as viewer:
        ...     viewer.url.startswith("http://127.0.0.1:")
        True
    """
    with needs_extra("view", "the viewer"):
        from wsi_embed.viewer.server import listen
    stores = [store] if isinstance(store, Store | str | Location) else list(store)
    sources = [slides] if isinstance(slides, str | Location) else list(slides)
    session = open_session(
        stores,
        sources,
        clusters=clusters,
        attention=attention,
        annotations=annotations,
        report=report,
        read_only=read_only,
        cache=cache,
    )
    return Viewer(session, listen(session, host=host, port=port, token=token, framed=True))
