"""Mutations of DICOM series: which instances belong to one, and instances that contradict each other."""

from __future__ import annotations

import copy
import random

from tests.fuzz.dicom.elements import Dataset, Element, everywhere, fragments
from tests.fuzz.dicom.facts import IMAGE_TYPE, chosen, set_number, text

Series = dict[str, Dataset]

INSTANCE, META_INSTANCE = 0x00080018, 0x00020003
FRAMES, TOTAL_ROWS, COLUMNS, TOTAL_COLUMNS, PIXELS = (
    0x00280008,
    0x00480007,
    0x00280011,
    0x00480006,
    0x7FE00010,
)
UIDS = (0x0020000E, 0x0020000D, 0x00200052, INSTANCE, 0x00080016, META_INSTANCE, 0x00209161, 0x00200242)
VOLUME = "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"


def _named(dataset: Dataset, tag: int) -> Element | None:
    return next((element for element in dataset if element.tag == tag), None)


def change_uid(instances: Series, rng: random.Random) -> None:
    """Say that an instance is another, or of another series, study or class."""
    if (element := chosen(instances, rng, UIDS)) is not None:
        other = chosen(instances, rng, UIDS)
        same = other.value if other is not None and isinstance(other.value, bytes) else b""
        element.value = rng.choice(
            (same, b"1.2.3.4\0", b"", b"1.2.3 ", b"1" * 64, b"1." * 500, b"no\xffne\0")
        )


def repeat_instance(instances: Series, rng: random.Random) -> None:
    """Copy a file beside itself, or make an instance of its own of the copy."""
    if instances:
        copied = copy.deepcopy(instances[rng.choice(list(instances))])
        if rng.random() < 0.5:
            for element in copied:
                if element.tag in (INSTANCE, META_INSTANCE):
                    element.value = b"1.2.3.99"
        instances[rng.choice(("0copy.dcm", "z-copy.dcm"))] = copied


def add_area(instances: Series, rng: random.Random) -> None:
    """Add the upper frames of an instance as an image of its own, which is no level of the slide."""
    if not instances:
        return
    part = copy.deepcopy(instances[rng.choice(list(instances))])
    columns, total, frames = (_named(part, tag) for tag in (COLUMNS, TOTAL_COLUMNS, FRAMES))
    rows, pixels = _named(part, TOTAL_ROWS), _named(part, PIXELS)
    if columns is None or total is None or frames is None or rows is None or pixels is None:
        return
    side, width = (int.from_bytes(e.value, "little") for e in (columns, total) if isinstance(e.value, bytes))
    across = -(-width // max(side, 1))
    set_number(rows, side)
    set_number(frames, across)
    if found := fragments(pixels):
        pixels.value = found[: across + 1]  # the first is the table of offsets
    for element in part:
        if element.tag in (INSTANCE, META_INSTANCE):
            element.value = b"1.2.3.98"
    instances["area.dcm"] = part


def label_as_level(instances: Series, rng: random.Random) -> None:
    """Say of the label that it is a level."""
    for dataset in instances.values():
        element = _named(dataset, IMAGE_TYPE)
        if element is not None and isinstance(element.value, bytes) and b"LABEL" in element.value:
            element.value = text(VOLUME)


def remove_instance(instances: Series, rng: random.Random) -> None:
    """Lose a file of the series."""
    if len(instances) > 1:
        del instances[rng.choice(list(instances))]


def rename_instances(instances: Series, rng: random.Random) -> None:
    """Give the files other names, and so another order."""
    items = list(instances.items())
    rng.shuffle(items)
    suffix = rng.choice((".dcm", "", ".DCM", ".2.25.7"))
    instances.clear()
    instances.update({f"{number}{suffix}": dataset for number, (_, dataset) in enumerate(items)})


def exchange_facts(instances: Series, rng: random.Random) -> None:
    """Give an instance a fact of another instance."""
    tags = tuple({e.tag for d in instances.values() for _, e in everywhere(d) if e.tag not in (PIXELS,)})
    if tags:
        tag = rng.choice(tags)
        one, other = chosen(instances, rng, (tag,)), chosen(instances, rng, (tag,))
        if one is not None and other is not None:
            one.value = copy.deepcopy(other.value)


MUTATIONS = (
    change_uid, change_uid, repeat_instance, add_area, label_as_level, remove_instance, rename_instances,
    exchange_facts, exchange_facts,
)  # fmt: skip
