"""Time spent on a slide, by stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Seconds:
    """Time spent per stage, in seconds. Stages overlap, so their sum exceeds the wall-clock time.

    Attributes:
        tissue: Tissue detection.
        read: Reading of tiles.
        encode: Encoding of tiles.
        write: Writing of the output.
    """

    tissue: float = 0.0
    read: float = 0.0
    encode: float = 0.0
    write: float = 0.0

    def add(self, other: Seconds) -> None:
        """Add the times for reading, encoding and writing of another object."""
        self.read, self.encode = self.read + other.read, self.encode + other.encode
        self.write += other.write
