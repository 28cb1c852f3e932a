"""Mutations of bytes that need to know little or nothing of their format."""

from __future__ import annotations

import random

MARKERS = (
    0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xCC, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xEE, 0xFE, 0xFF,
)  # fmt: skip
START = b"\xff\xd8\xff"


def flip_bytes(out: bytearray, rng: random.Random) -> None:
    """Change bytes anywhere in the file."""
    for _ in range(rng.choice((1, 1, 2, 5, 20, 200))):
        out[rng.randrange(len(out))] = rng.randrange(256)


def flip_head(out: bytearray, rng: random.Random) -> None:
    """Change a byte of the file's first 16."""
    out[rng.randrange(16)] = rng.choice((rng.randrange(256), 0, 255))


def truncate(out: bytearray, rng: random.Random) -> None:
    """Cut the file, as a copy that was interrupted does."""
    del out[rng.randrange(len(out)) :]


def blank(out: bytearray, rng: random.Random) -> None:
    """Lose a block, as a disk does: zeros, or the bytes of another place."""
    size = rng.choice((16, 64, 512, 4096))
    at, other = rng.randrange(len(out)), rng.randrange(len(out))
    size = min(size, len(out) - max(at, other))
    out[at : at + size] = bytes(size) if rng.random() < 0.5 else out[other : other + size]


def change_jpeg(out: bytearray, rng: random.Random) -> None:
    """Change the head of a JPEG: its frame, a marker, a length."""
    at = _segment(out, rng)
    if at is None:
        return
    way = rng.randrange(5)
    if way == 0:
        out[at + 1] = rng.choice(MARKERS)
    elif way == 1:
        out[at + 2 : at + 4] = rng.choice((0, 1, 2, 3, 8, 65535, rng.randrange(300))).to_bytes(2, "big")
    elif way == 2:
        size = rng.choice((0, 1, 16, 255, 4096, 65500, 65535))
        out[at + 5 : at + 9] = size.to_bytes(2, "big") + rng.choice((size, 32, 65535)).to_bytes(2, "big")
    elif way == 3:
        out[at + rng.randrange(2, 24) % (len(out) - at)] = rng.randrange(256)
    else:
        scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
        out[at:at] = bytes([0xFF, rng.choice(MARKERS)]) + scan[2:] * rng.choice((1, 1, 100))


def _segment(out: bytearray, rng: random.Random) -> int | None:
    """Return where a segment of one of the file's JPEGs begins, its frame more often than others."""
    starts: list[int] = []
    at = out.find(START)
    while at >= 0 and len(starts) < 200:
        starts.append(at)
        at = out.find(START, at + 2)
    if not starts:
        return None
    at = rng.choice(starts) + 2
    for _ in range(rng.randrange(8)):
        if at + 4 > len(out) or out[at] != 0xFF:
            break
        following = at + 2 + int.from_bytes(out[at + 2 : at + 4], "big")
        if out[at + 1] in (0xC0, 0xC1) and rng.random() < 0.6:
            break
        at = following
    return at if at + 12 <= len(out) else None
