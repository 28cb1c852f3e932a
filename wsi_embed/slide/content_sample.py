"""Sample of the content of a slide's files, which notices a copy that was not complete.

The fingerprint covers size, head and tail. A file that was copied in several parts at once, or whose space
was reserved first, has all three before its middle is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path

from wsi_embed.slide.fingerprint import slide_files

BLOCKS = 32
BLOCK_BYTES = 4096
# A warning is given if this many bytes from a block on are zero; at most so many blocks are looked at.
ZERO_BYTES = 2**20
MOST_ZERO_BLOCKS = 4


@dataclass(frozen=True)
class ContentSample:
    """Sample of a slide's files.

    Attributes:
        digest: Digest of blocks that are spread evenly over the files, 32 hexadecimal digits.
        zeros: File name and offset in bytes of a long run of zeros; None if the sample found none.
    """

    digest: str
    zeros: tuple[str, int] | None

    @property
    def warning(self) -> str | None:
        """Warning about a run of zeros; None without one."""
        if self.zeros is None:
            return None
        name, offset = self.zeros
        return (
            f"{name}: at least {ZERO_BYTES // 2**20} MiB from byte {offset:,} on are zero, as in a copy that "
            "is not complete; compare it with the original"
        )


def content_sample(path: Path) -> ContentSample:
    """Read a sample of a slide's files: 32 blocks of 4 KiB, whatever their size.

    Args:
        path: Slide file; the other files of a multi-file slide are found from it.

    Raises:
        OSError: If a file cannot be read.
    """
    digest, zeros, left = hashlib.sha256(), None, MOST_ZERO_BLOCKS
    for file, places in groupby(_places(slide_files(path)), key=itemgetter(0)):
        with open(file, "rb", buffering=0) as data:
            for _, offset in places:
                data.seek(offset)
                block = data.read(BLOCK_BYTES)
                digest.update(block)
                if zeros is None and left and _is_zero(block):
                    left -= 1
                    data.seek(offset)
                    run = data.read(ZERO_BYTES)
                    zeros = (file.name, offset) if len(run) == ZERO_BYTES and _is_zero(run) else None
    return ContentSample(digest.hexdigest()[:32], zeros)


def _places(files: list[Path]) -> Iterator[tuple[Path, int]]:
    """Yield file and offset of the blocks, which are spread evenly over all files together."""
    ends = list(accumulate(file.stat().st_size for file in files))
    number = 0
    for block in range(BLOCKS):
        position = ends[-1] * (2 * block + 1) // (2 * BLOCKS)
        while number < len(files) - 1 and position >= ends[number]:
            number += 1
        yield files[number], position - (ends[number - 1] if number else 0)


def _is_zero(content: bytes) -> bool:
    return content.count(0) == len(content)
