"""Symbolic links that lead to no file."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def real_path(path: Path) -> Path:
    """Return a path without links, as `Path.resolve`, which raises RuntimeError for a loop of links."""
    return Path(os.path.realpath(path))


def broken_link(path: Path) -> str | None:
    """Describe a link that leads to no file; None if the path is no link, or its file exists.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed.util.links import broken_link
        >>> Path("a.svs").symlink_to("b.svs")
        >>> Path("b.svs").symlink_to("a.svs")
        >>> broken_link(Path("a.svs"))
        'a loop of links (a.svs -> b.svs -> a.svs) that leads to no file'
    """
    try:
        path.stat()
        return None
    except OSError as error:
        if not path.is_symlink() or error.errno not in (errno.ENOENT, errno.ELOOP):
            return None
    way = [path]
    while way[-1].is_symlink() and way[-1] not in way[:-1]:
        way.append(Path(os.path.normpath(way[-1].parent / way[-1].readlink())))
    names = " -> ".join(link.name for link in way)
    if way[-1] in way[:-1]:
        return f"a loop of links ({names}) that leads to no file"
    return f"a link to a file that does not exist ({names})"
