"""Time that a job spends on a slide, by stage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Seconds:
    """Seconds spent by stage. Stages overlap, so their sum exceeds the time on the wall.

    Attributes:
        tissue: Finding tissue.
        read: Reading tiles.
        encode: Encoding tiles.
        write: Writing the result.
    """

    tissue: float = 0.0
    read: float = 0.0
    encode: float = 0.0
    write: float = 0.0

    def add(self, other: Seconds) -> None:
        """Add the reading, encoding and writing of another stretch of work."""
        self.read, self.encode = self.read + other.read, self.encode + other.encode
        self.write += other.write
