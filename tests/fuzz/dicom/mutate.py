"""Mutations of DICOM series: of what instances say of their pixels, of how they say it, and of the pixels."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz import raw
from tests.fuzz.case import Case, Files, Truth, pick_steps
from tests.fuzz.dicom import data, facts, series, structure
from tests.fuzz.dicom.elements import Dataset, parsed, written

Series = dict[str, Dataset]
Mutation = Callable[[Series, random.Random], None]
METADATA: tuple[Mutation, ...] = (*facts.MUTATIONS, *facts.MUTATIONS, *structure.MUTATIONS, *series.MUTATIONS)
BYTES = (raw.flip_bytes, raw.truncate, raw.blank, raw.change_jpeg)


def mutated(name: str, files: Files, rng: random.Random) -> Case:
    """Mutate what a series says of its pixels, or anything."""
    instances = {file: parsed(content) for file, content in files.items()}
    anything, any_bytes = rng.random() < 0.2, rng.random() < 0.1
    chosen = pick_steps(rng, (*METADATA, *data.MUTATIONS * 3) if anything else METADATA)
    for mutate in chosen:
        mutate(instances, rng)
    out = {file: written(dataset) for file, dataset in instances.items()}
    steps = [mutate.__name__ for mutate in chosen]
    if any_bytes and out:
        file, change = rng.choice(list(out)), rng.choice(BYTES)
        content = bytearray(out[file])
        change(content, rng)
        out[file] = bytes(content)
        steps.append(change.__name__)
    truth: Truth = "nothing" if anything or any_bytes else "all" if len(chosen) == 1 else "content"
    return Case(out, tuple(steps), truth)
