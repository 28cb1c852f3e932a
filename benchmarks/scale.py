"""Benchmark of a store of many slides: opening, listing, and finding that all slides are done.

    PYTHONPATH=. python benchmarks/scale.py --slides 10000 --folder /tmp/scale

One small slide is embedded and then copied in the store, each copy with its own name and patient. The file is
copied as often in the folder of slides, as a sparse file of 1 MiB, so that fingerprints read as much as of a
real slide. Existing files in the folder are reused. Prints a Markdown table: wall-clock and processor time in
seconds with a warm cache, the minimum of three runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import wsi_embed
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.inputs.shards import shard
from wsi_embed.inputs.slides import find_slides
from wsi_embed.slide.fingerprint import fingerprint
from wsi_embed.storage.folder import METADATA_FILE, LocalPlace
from wsi_embed.store.index import INDEX_FILE
from wsi_embed.store.layout import array_documents, group_digest
from wsi_embed.store.members import record

SLIDE_BYTES = 2**20
BAGS = 100
PATIENTS = 0.6  # patients per slide


class Seconds(NamedTuple):
    """Wall-clock time, and time of all processors together."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.3g} | {self.processor:.2g}"


def make(folder: Path, count: int) -> None:
    """Create the slides and the store unless they exist."""
    slides, store = folder / "slides", folder / "feats.zarr"
    if (folder / "made").is_file() and (folder / "made").read_text() == str(count):
        return
    shutil.rmtree(folder, ignore_errors=True)
    slides.mkdir(parents=True)
    first = write_tiff(slides / "slide00000.tif", he_pixels(500, 500), compression="jpeg", levels=(1,))
    with first.open("r+b") as file:
        file.truncate(SLIDE_BYTES)
    wsi_embed.embed(first, store)
    for number in range(1, count):
        copy_slide(slides, store, f"slide{number:05}", f"patient{int(number * PATIENTS):05}")
    (folder / "made").write_text(str(count))


def copy_slide(slides: Path, store: Path, slide_id: str, patient: str) -> None:
    """Copy the first slide under another name."""
    subprocess.run(
        ["cp", "--sparse=always", slides / "slide00000.tif", slides / f"{slide_id}.tif"], check=True
    )
    group = store / slide_id
    shutil.copytree(store / "slide00000", group)
    document = json.loads((group / METADATA_FILE).read_bytes())
    own = {"slide_id": slide_id, "slide": f"{slide_id}.tif", "patient": patient}
    attributes = document["attributes"] | own
    digest = group_digest(attributes, array_documents(LocalPlace(group)))
    document["attributes"] = attributes | {"digest": digest}
    (group / METADATA_FILE).write_text(json.dumps(document, indent=2))
    record(LocalPlace(store), slide_id, [digest])


def seconds(what: Callable[[], object], repeats: int = 3) -> Seconds:
    """Return the minimum time of several runs."""
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), sum(os.times()[:4])
        what()
        walls.append(time.perf_counter() - wall)
        processors.append(sum(os.times()[:4]) - processor)
    return Seconds(min(walls), min(processors))


def measure_store(store: Path) -> dict[str, Seconds]:
    """Measure the operations of a reader, each on a newly opened store."""
    ids = random.Random(0).sample(wsi_embed.open_store(store).slide_ids, BAGS)
    opened = wsi_embed.open_store(store)
    return {
        "open": seconds(lambda: wsi_embed.open_store(store)),
        "list the ids": seconds(lambda: wsi_embed.open_store(store).slide_ids),
        "number of tiles and patient of every bag": seconds(
            lambda: [(len(bag), bag.patient) for bag in wsi_embed.open_store(store).values()]
        ),
        "patients": seconds(lambda: wsi_embed.open_store(store).patients()),
        f"{BAGS} random bags, features and coordinates": seconds(
            lambda: [(opened[i].features[:], opened[i].coords[:]) for i in ids]
        ),
    }


def measure_job(slides: Path, store: Path) -> dict[str, Seconds]:
    """Measure a job that finds everything done, and its steps."""
    items = find_slides([slides])
    encoder = wsi_embed.load_encoder()

    def scan() -> None:
        report = wsi_embed.embed(slides, store, model=encoder)
        assert report.count("skipped") == len(items), report.summary()

    command = [sys.executable, "-m", "wsi_embed", str(slides), "--out", str(store), "--log-json"]
    return {
        "find the slides": seconds(lambda: find_slides([slides])),
        "find a share of 1/50": seconds(lambda: shard(find_slides([slides]), 7, 50)),
        "fingerprints alone": seconds(lambda: [fingerprint(item.path) for item in items]),
        "a job, everything done already": seconds(scan),
        "the same, with the start of the command": seconds(
            lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        ),
    }


def main() -> None:
    """Create the data, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    make(args.folder, args.slides)
    slides, store = args.folder / "slides", args.folder / "feats.zarr"
    (store / INDEX_FILE).unlink(missing_ok=True)
    without = measure_store(store)
    finalize = seconds(lambda: wsi_embed.finalize(store))
    with_index = measure_store(store)
    print(f"| {args.slides} slides | s | of processor | with the index: s | of processor |")
    print("|---|---|---|---|---|")
    for name, value in without.items():
        print(f"| {name} | {value} | {with_index[name]} |")
    print(f"| finalize ({(store / INDEX_FILE).stat().st_size / 1e6:.1f} MB) | {finalize} | | |")
    for name, value in measure_job(slides, store).items():
        print(f"| {name} | {value} | | |", flush=True)


if __name__ == "__main__":
    main()
