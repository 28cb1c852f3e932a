"""Shards of a job: static, disjoint, and identical on every machine."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from wsi_embed.errors import UsageError
from wsi_embed.inputs.remote_slides import ask_ahead
from wsi_embed.inputs.schedulers import array_task
from wsi_embed.inputs.slides import SlideInput
from wsi_embed.util.text import argument


def shard(slides: Sequence[SlideInput], index: int, count: int) -> list[SlideInput]:
    """Return the slides of shard `index` of `count`: disjoint, complete, balanced by file size.

    The largest remaining slide goes to the shard with the smallest load (Graham's longest processing time
    rule), which gives the same result on every machine that sees the same files.
    """
    ask_ahead([item.remote for item in slides if item.remote is not None])
    loads = [(0, number) for number in range(count)]  # a heap
    mine = []
    for size, item in sorted(((s.size, s) for s in slides), key=lambda pair: (-pair[0], pair[1].slide_id)):
        load, lightest = loads[0]
        heapq.heapreplace(loads, (load + max(size, 1), lightest))
        if lightest == index:
            mine.append(item)
    return sorted(mine, key=lambda s: s.slide_id)


def parse_shard(text: str, environ: Mapping[str, str]) -> tuple[int, int]:
    """Parse `i/n`, from 0/n to n-1/n, or `auto`, which reads the scheduler's environment variables.

    Raises:
        UsageError: If the text has neither form, or the scheduler does not tell which shard this is.
    """
    if text == "auto":
        return array_task(environ)
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UsageError(
            "expected auto, or i/n counted from 0: 0/4, 1/4, 2/4, 3/4", where=argument("shard", text)
        )
    return int(index), int(count)
