"""Standard output that cannot end a job: by a closed pipe, or a full disk."""

from __future__ import annotations

import contextlib
import os
from typing import Any, TextIO


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
            self._discard()
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or discard what is left in it."""
        try:
            self._stream.flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        """Connect the stream to nothing: what is still in its buffer goes there."""
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
