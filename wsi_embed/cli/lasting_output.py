"""Standard output that cannot end a job: by a closed pipe, or a full disk."""

from __future__ import annotations

import contextlib
import os
from typing import Any, TextIO


def discard(stream: TextIO) -> None:
    """Connect a stream to nothing: what is still in its buffer, and all that follows, goes there."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class LastingOutput:
    """Text stream that discards what cannot be written, from the first failure on.

    Args:
        stream: Stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or discard it."""
        try:
            return self._stream.write(text)
        except OSError:
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or discard what is left in it."""
        try:
            self._stream.flush()
        except OSError:
            discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
