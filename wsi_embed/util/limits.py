"""Errors for limits on processes, threads and memory, which Python reports in several ways."""

from __future__ import annotations

import errno

from wsi_embed.errors import WsiEmbedError
from wsi_embed.util.memory import memory_limit

# What the dynamic linker says of a library for which there is no memory.
NOT_LOADED = ("failed to map segment", "cannot allocate memory")


def limit_error(error: BaseException) -> WsiEmbedError | None:
    """Return the error for a limit that was met; None if an exception means something else.

    Example:
        >>> from wsi_embed.util.limits import limit_error
        >>> print(limit_error(MemoryError()))
        not enough memory; use fewer `workers=` or a smaller `batch_size=`, or raise the limit (ulimit -v)
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        remedy = "use fewer `workers=` or a smaller `batch_size=`, or raise the limit (ulimit -v)"
        return WsiEmbedError("not enough memory", remedy=remedy)
    if isinstance(error, ImportError | OSError) and _has_no_memory(error):
        return WsiEmbedError("not enough memory to load a library", remedy="raise the limit (ulimit -v)")
    remedy = "raise it (ulimit -u, or the pids limit of the container)"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        if limit := memory_limit():
            return WsiEmbedError(
                f"no room for another thread within {limit // 2**20} MiB of address space",
                remedy="use fewer `workers=`, or raise the limit (ulimit -v, or -u)",
            )
        return WsiEmbedError("the limit on threads is reached", remedy=remedy)
    if isinstance(error, BlockingIOError) and not hasattr(error, "characters_written"):  # of a full pipe
        return WsiEmbedError("the limit on processes is reached", remedy=remedy)
    return None


def _has_no_memory(error: BaseException | None) -> bool:
    """Return whether an import failed for lack of memory; libraries raise errors of their own from it."""
    while error is not None:
        if any(words in str(error).lower() for words in NOT_LOADED):
            return True
        error = error.__cause__ or error.__context__
    return False
