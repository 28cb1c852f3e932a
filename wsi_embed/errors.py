"""Errors that a user can cause, in one tree.

* WsiEmbedError
  + UsageError              wrong arguments: nothing was done (exit code 2)
    - ModelError            a file is not a model this runtime can use
    - StoreMismatchError    a store was made with another model or resolution
    - MissingExtraError     a command needs an extra that is not installed
  + SlideError              one slide failed: the others go on (exit code 1)
    - ResolutionError       the slide's resolution is unknown, absurd or too coarse
    - NoRegionsError        its annotations contain no region to take
    - TileError             a tile image cannot be used
  + StoreError              a store cannot be read or written
    - MissingStoreError     there is none (exit code 2)
  + RemoteError             object storage or a web server cannot be reached, or refuses
  + DeviceError             the requested device cannot be used (exit code 2)
    - DeviceMemoryError     a batch does not fit into its memory: that slide fails
  + Stopped                 SIGTERM or SIGINT: run again to continue (exit code 75)

A message states the problem, where it is, and how to fix it; each error has these three as attributes, too.
It calls an option by its Python name, `overwrite=True`, which the command line words as a flag.
"""

from __future__ import annotations

import copy
from typing import Any, Self

MOST_CHARACTERS = 1000


class WsiEmbedError(Exception):
    """Base class of all errors that are not bugs.

    Its text is `where: what; remedy`, without the parts that are missing.

    Args:
        what: Description of the problem.
        where: File, row, slide or option with the problem.
        remedy: Advice on how to fix it.

    Attributes:
        what: Description of the problem, as text.
        where: File, row, slide or option with the problem, as text; None if it is unknown.
        remedy: Advice on how to fix it, as text; None if there is none.

    Example:
        >>> import wsi_embed
        >>> try:
        ...     wsi_embed.open_slide("missing.svs")
        ... except wsi_embed.WsiEmbedError as error:
        ...     print(error.where, "|", error.what, "|", error.remedy)
        missing.svs | no such file | check the path
    """

    exit_code = 1

    def __init__(self, what: object = "", *, where: object = None, remedy: object = None) -> None:
        self.what = self._text(str(what))
        self.where = None if where is None else self._text(str(where))
        self.remedy = None if remedy is None else self._text(str(remedy))
        super().__init__(self.what)

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}: "
        return self._text(place + self.what + ("" if self.remedy is None else f"; {self.remedy}"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what,), self.__dict__

    def at(self, where: object) -> Self:
        """Return a copy of this error with a place, put in front of the place that it may have already."""
        place = str(where) if self.where is None else f"{where}: {self.where}"
        return self.replace(where=place)

    def replace(self, **fields: object) -> Self:
        """Return a copy of this error with other fields: `what`, `where`, `remedy`."""
        changed = copy.copy(self)
        now = {"what": self.what, "where": self.where, "remedy": self.remedy}
        WsiEmbedError.__init__(changed, **(now | fields))
        return changed

    @staticmethod
    def _text(text: str) -> str:
        return text


class UsageError(WsiEmbedError):
    """An argument is wrong; nothing was done."""

    exit_code = 2


class ModelError(UsageError):
    """A file that is not a model this runtime can use."""


class StoreMismatchError(UsageError):
    """A store that holds features of another model or another resolution."""


class MissingExtraError(UsageError):
    """A command needs an extra that is not installed."""


class DeviceError(WsiEmbedError):
    """The requested device cannot be used."""

    exit_code = 2


class DeviceMemoryError(DeviceError):
    """A batch does not fit into the device's memory."""

    exit_code = 1


class SlideError(WsiEmbedError):
    """One slide cannot be read or processed; other slides are not affected.

    Messages quote names and texts of files. Characters that a terminal would interpret or cannot print are
    escaped, and a message has at most 1000 characters.
    """

    @staticmethod
    def _text(text: str) -> str:
        return printable(text)


class ResolutionError(SlideError):
    """A slide's resolution is unknown, absurd, or coarser than requested."""


class NoRegionsError(SlideError):
    """A slide has no annotation file, or the file contains no region to take."""


class TileError(SlideError):
    """One tile image cannot be used."""


class StoreError(WsiEmbedError):
    """A store cannot be read or written."""


class MissingStoreError(StoreError):
    """A path holds no store."""

    exit_code = 2


class RemoteError(WsiEmbedError):
    """Object storage or a web server cannot be reached, or refuses.

    This is no StoreError, because code that treats an unreadable slide as missing must not do so if the
    server fails.
    """


class Stopped(WsiEmbedError):
    """The job was stopped (SIGTERM, SIGINT); run it again to continue."""

    exit_code = 75


def printable(message: str) -> str:
    """Return a message as one printable line, shortened in the middle if it is too long."""
    if not message.isprintable():
        message = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in message
        )
    if len(message) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2 - 3
        message = f"{message[:half]} ... {message[-half:]}"
    return message
