"""Mutations of how DICOM instances are written: elements, representations, sequences, offset tables."""

from __future__ import annotations

import copy
import random
import struct

from tests.fuzz.dicom.elements import LONG, Dataset, Element, everywhere, fragments
from tests.fuzz.dicom.facts import chosen

Series = dict[str, Dataset]

PIXELS, CHARSET, PRIVATE = 0x7FE00010, 0x00080005, 0x00091001
TRANSFER_SYNTAX = 0x00020010
SYNTAXES = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99",
    b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.70",
    b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.91",
    b"1.2.840.10008.1.2.5", b"", b"1.2.3",
)  # fmt: skip
# An item of a sequence in an item, each without its length.
NESTED = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack(
    "<HH2sHI", 8, 0x1115, b"SQ", 0, 0xFFFFFFFF
)


def _place(instances: Series, rng: random.Random) -> tuple[Dataset, Element] | None:
    if not instances:
        return None
    found = list(everywhere(instances[rng.choice(list(instances))]))
    return rng.choice(found) if found else None


def remove_element(instances: Series, rng: random.Random) -> None:
    """Remove an element."""
    if place := _place(instances, rng):
        place[0].remove(place[1])


def repeat_element(instances: Series, rng: random.Random) -> None:
    """Write an element twice, side by side or at the end."""
    if place := _place(instances, rng):
        dataset, element = place
        dataset.insert(rng.choice((dataset.index(element), len(dataset))), copy.deepcopy(element))


def move_element(instances: Series, rng: random.Random) -> None:
    """Write an element where it does not belong: elsewhere in its dataset, or in another."""
    if place := _place(instances, rng):
        dataset, element = place
        dataset.remove(element)
        other = _place(instances, rng) if rng.random() < 0.3 else None
        target = other[0] if other else dataset
        target.insert(rng.randrange(len(target) + 1), element)


def change_representation(instances: Series, rng: random.Random) -> None:
    """Give an element another value representation, or one that does not exist."""
    element = chosen(instances, rng)
    if element is not None and element.tag != PIXELS:
        element.vr = rng.choice(
            (b"UN", b"OB", b"US", b"UL", b"LO", b"CS", b"SQ", b"UT", b"FD", b"ZZ", b"\0\0")
        )


def toggle_length(instances: Series, rng: random.Random) -> None:
    """Write all sequences of an instance without their lengths, or with them: both mean the same."""
    if not instances:
        return
    undefined = rng.random() < 0.7
    for _, element in everywhere(instances[rng.choice(list(instances))]):
        if element.vr == b"SQ":
            element.undefined = undefined


def nest_sequences(instances: Series, rng: random.Random) -> None:
    """Add a sequence that is nested so many times, which says nothing about the pixels."""
    if not instances:
        return
    depth = rng.choice((1, 20, 500, 3000, 20_000))
    ends = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    dataset = instances[rng.choice(list(instances))]
    value = NESTED * depth + ends * depth + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    dataset.append(Element(0x00081115, b"SQ", value, length=0xFFFFFFFF))
    dataset.sort(key=lambda element: element.tag)


def add_private(instances: Series, rng: random.Random) -> None:
    """Add elements of a vendor's own, which say nothing to others."""
    if instances:
        vr = rng.choice((b"LO", b"OB", b"UN", b"UT", b"US"))
        size = rng.choice((0, 2, 1000, 60_000, 3_000_000 if vr in LONG else 0))
        dataset = instances[rng.choice(list(instances))]
        dataset += [Element(0x00090010, b"LO", b"MADE"), Element(PRIVATE, vr, b"x" * size)]
        dataset.sort(key=lambda element: element.tag)


def change_charset(instances: Series, rng: random.Random) -> None:
    """Declare a character set, known or not."""
    if instances:
        dataset = instances[rng.choice(list(instances))]
        dataset[:] = [element for element in dataset if element.tag != CHARSET]
        names = (b"ISO_IR 192", b"ISO_IR 100 ", b"\\ISO 2022 IR 87", b"GB18030 ", b"NONSENSE", b"")
        dataset.append(Element(CHARSET, b"CS", rng.choice(names)))
        dataset.sort(key=lambda element: element.tag)


def change_syntax(instances: Series, rng: random.Random) -> None:
    """Declare another coding of pixels or elements than the one there is."""
    if (element := chosen(instances, rng, (TRANSFER_SYNTAX,))) is not None:
        name = rng.choice(SYNTAXES)
        element.value = name + b"\0" * (len(name) % 2)


def change_offset_table(instances: Series, rng: random.Random) -> None:
    """Leave the table of frames' offsets out, or make its numbers wrong; the frames lie in order."""
    element = chosen(instances, rng, (PIXELS,))
    if element is None or not (found := fragments(element)):
        return
    table, *frames = found
    numbers = list(struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4]))
    way = rng.randrange(4)
    if way == 0 or not numbers:
        numbers = []
    elif way == 1:
        numbers = numbers[: rng.randrange(len(numbers))]
    elif way == 2:
        numbers = [*numbers, numbers[-1]]
    else:
        wrong = (0, 1, 8, 2**31, 2**32 - 1, rng.choice(numbers))
        numbers[rng.randrange(len(numbers))] = rng.choice(wrong)
    element.value = [struct.pack(f"<{len(numbers)}I", *numbers), *frames]


MUTATIONS = (
    remove_element, remove_element, repeat_element, move_element, change_representation, toggle_length,
    nest_sequences, add_private, change_charset, change_syntax, change_offset_table,
)  # fmt: skip
