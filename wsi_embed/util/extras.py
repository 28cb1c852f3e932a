"""A clear error, without traceback, for a missing optional dependency."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from wsi_embed.errors import MissingExtraError


@contextlib.contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Turn a failed import of a third-party module into an error that names the extra to install.

    Args:
        extra: Name of the extra.
        what: Feature that needs it, for the message.

    Raises:
        MissingExtraError: If a module that the extra installs is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wsi_embed"):
            raise
        raise MissingExtraError(
            f"{what} needs {error.name}, which is not installed", remedy=f"pip install 'wsi-embed[{extra}]'"
        ) from error
