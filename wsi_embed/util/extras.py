"""A clear error, without traceback, for a missing optional dependency."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import unquote, urlsplit

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
            f"{what} needs {error.name}, which is not installed", remedy=install_command(extra)
        ) from error


def install_command(extra: str) -> str:
    """Return the command that installs an extra, in the way in which the package was installed.

    Args:
        extra: Name of the extra.
    """
    url, source = _installed_from()
    if source.get("dir_info") is not None:
        editable = "-e " if source["dir_info"].get("editable") else ""
        return f"pip install {editable}'{unquote(urlsplit(url).path)}[{extra}]'"
    if vcs := source.get("vcs_info"):
        return (
            f"pip install 'wsi-embed[{extra}] @ {vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', 'HEAD')}'"
        )
    return f"pip install 'wsi-embed[{extra}] @ {url}'" if url else f"pip install 'wsi-embed[{extra}]'"


def _installed_from() -> tuple[str, dict[str, Any]]:
    """Return the address from which the package was installed, and its description; empty for an index."""
    try:
        text = distribution("wsi-embed").read_text("direct_url.json")
        source = json.loads(text or "{}")
    except (PackageNotFoundError, ValueError, OSError):
        return "", {}
    found = isinstance(source, dict) and isinstance(source.get("url"), str)
    return (source["url"], source) if found else ("", {})
