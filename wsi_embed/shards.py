"""A share of a job: static, disjoint, and the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

from wsi_embed.errors import UsageError
from wsi_embed.inputs import SlideInput


def shard(slides: Sequence[SlideInput], index: int, count: int) -> list[SlideInput]:
    """The slides of shard `index` of `count`: disjoint, complete, balanced by file size.

    The same on every machine that sees the same files.
    """
    loads = [0] * count
    mine = []
    for item in sorted(slides, key=lambda s: (-s.size, s.slide_id)):
        lightest = loads.index(min(loads))
        loads[lightest] += max(item.size, 1)
        if lightest == index:
            mine.append(item)
    return sorted(mine, key=lambda s: s.slide_id)


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `i/n`, from 0/n to n-1/n.

    Raises:
        UsageError: It is not of that form.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UsageError(f"--shard {text}: expected i/n, counted from 0: 0/4, 1/4, 2/4, 3/4")
    return int(index), int(count)
