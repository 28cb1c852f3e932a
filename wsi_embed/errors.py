"""Every error a user can cause, in one tree.

* WsiEmbedError
  + UsageError              wrong arguments: nothing was done (exit code 2)
    - ModelError            not a model this runtime can use
    - StoreMismatchError    a store that was made with something else
    - MissingExtraError     a command needs an extra that is not installed
  + SlideError              one slide failed: the others go on (exit code 1)
    - ResolutionError       the slide's resolution is unknown, absurd or too coarse
    - NoRegionsError        its annotations have nothing to take
    - TileError             a tile image cannot be used
  + StoreError              a store that cannot be read or written
  + RemoteError             object storage or a web server that cannot be reached, or refuses
  + DeviceError             a device that was asked for cannot be used (exit code 2)
    - DeviceMemoryError     a batch does not fit into its memory: that slide fails
  + Stopped                 SIGTERM or SIGINT: run again to go on (exit code 75)

A message says what is wrong, where, and how to fix it.
"""

from __future__ import annotations

MOST_CHARACTERS = 1000


class WsiEmbedError(Exception):
    """Base of all errors that are not bugs."""

    exit_code = 1


class UsageError(WsiEmbedError):
    """Wrong arguments; nothing was done."""

    exit_code = 2


class ModelError(UsageError):
    """A file that is not a model this runtime can use."""


class StoreMismatchError(UsageError):
    """A store that holds features of another model or another resolution."""


class MissingExtraError(UsageError):
    """A command needs an extra that is not installed."""


class DeviceError(WsiEmbedError):
    """A device that was asked for cannot be used."""

    exit_code = 2


class DeviceMemoryError(DeviceError):
    """A batch does not fit into the device's memory."""

    exit_code = 1


class SlideError(WsiEmbedError):
    """One slide cannot be read or processed; other slides are not affected.

    Messages quote names and texts of files. What a terminal would obey, or cannot print, is escaped, and a
    message has at most 1000 characters.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class ResolutionError(SlideError):
    """A slide's resolution is unknown, absurd, or coarser than what was asked for."""


class NoRegionsError(SlideError):
    """A slide has no annotation file, or no region in it that could be taken."""


class TileError(SlideError):
    """One tile image cannot be used."""


class StoreError(WsiEmbedError):
    """A store cannot be read or written."""


class RemoteError(WsiEmbedError):
    """Object storage or a web server cannot be reached, or refuses.

    No StoreError: whoever takes a slide that cannot be read for one that is not there must not take this so.
    """


class Stopped(WsiEmbedError):
    """The job was told to stop (SIGTERM, SIGINT); running it again goes on."""

    exit_code = 75


def printable(message: str) -> str:
    """Return a message as one printable line, its middle left out where it is too long."""
    if not message.isprintable():
        message = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in message
        )
    if len(message) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2 - 3
        message = f"{message[:half]} ... {message[-half:]}"
    return message
