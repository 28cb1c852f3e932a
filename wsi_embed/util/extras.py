"""A missing extra is a user's matter, not a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from wsi_embed.errors import MissingExtraError


@contextlib.contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Turn a failed import of a third party's module into the extra to install.

    Raises:
        MissingExtraError: A module that the extra brings is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wsi_embed"):
            raise
        raise MissingExtraError(
            f"{what} needs {error.name}, which is not installed: pip install 'wsi-embed[{extra}]'"
        ) from error
