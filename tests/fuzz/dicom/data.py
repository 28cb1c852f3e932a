"""Mutations of DICOM that change which pixels there are, or of which nobody can tell that they are wrong."""

from __future__ import annotations

import random

from tests.fuzz.dicom.elements import Dataset, everywhere, fragments
from tests.fuzz.dicom.facts import chosen, set_number, text
from tests.fuzz.dicom.structure import PIXELS
from tests.fuzz.values import BORDERS, FRACTIONS, ROUND

Series = dict[str, Dataset]

POSITIONS = (0x0048021E, 0x0048021F, 0x00200032, 0x00209228)
OFFSETS = (0x0040072A, 0x0040073A, 0x0040074A)
PLANAR, EXTENDED = 0x00280006, (0x7FE00001, 0x7FE00002)


def change_length(instances: Series, rng: random.Random) -> None:
    """Say that an element is longer or shorter than it is."""
    if (element := chosen(instances, rng)) is not None:
        near = (0, 1, 2, 7, 8, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
        element.length = rng.choice((*near, rng.randrange(3000)))


def change_position(instances: Series, rng: random.Random) -> None:
    """Change where a frame lies."""
    if (element := chosen(instances, rng, POSITIONS)) is not None:
        set_number(element, rng.choice((0, 1, 2, 257, 513, -1, -300, 100_000, *ROUND, *BORDERS)))


def change_origin(instances: Series, rng: random.Random) -> None:
    """Change where on the glass an image or a frame lies."""
    if (element := chosen(instances, rng, OFFSETS)) is not None:
        element.value = text(rng.choice((*FRACTIONS, "10.04", "-10", "10.0", "1e9")))


def change_planar(instances: Series, rng: random.Random) -> None:
    """Change whether colours lie apart."""
    if (element := chosen(instances, rng, (PLANAR,))) is not None:
        set_number(element, rng.choice((1, 2, 65535)))


def change_frames(instances: Series, rng: random.Random) -> None:
    """Exchange, lose or repeat frames, or cut one into two fragments."""
    element = chosen(instances, rng, (PIXELS,))
    if element is None or not (frames := fragments(element)):
        return
    way, at = rng.randrange(5), rng.randrange(1, max(2, len(frames)))
    if at >= len(frames):
        return
    if way == 0:
        rng.shuffle(frames)
    elif way == 1:
        del frames[at]
    elif way == 2:
        frames.insert(at, rng.choice((frames[at], b"", b"\0" * 1000)))
    elif way == 3:
        half = len(frames[at]) // 4 * 2
        frames[at : at + 1] = [frames[at][:half], frames[at][half:]]
    else:
        frames[at] = frames[at][: rng.randrange(len(frames[at]) + 1) // 2 * 2]
    element.value = frames


def change_value(instances: Series, rng: random.Random) -> None:
    """Replace the value of any element by bytes."""
    if instances:
        _, element = rng.choice(list(everywhere(instances[rng.choice(list(instances))])))
        element.value = rng.randbytes(rng.choice((0, 1, 2, 4, 8, 100)))


MUTATIONS = (
    change_length,
    change_length,
    change_position,
    change_origin,
    change_planar,
    change_frames,
    change_value,
)
