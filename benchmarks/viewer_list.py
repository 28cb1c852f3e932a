"""Time to list a large store in the viewer, over HTTP: `python benchmarks/viewer_list.py [SLIDES] [TILES]`.

The store is made: TILES tiles a slide, 8 features, 20 clusters. The only slide file is a small picture.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import wsi_embed
from tests.store.made_stores import make_encoded, make_settings, open_writer, write_slide
from wsi_embed.store import finalize


def get(url: str) -> tuple[Any, str, int]:
    """Return a JSON value, the seconds of clock and processor that it took, and its size in bytes."""
    start, cpu = time.perf_counter(), time.process_time()
    body = urllib.request.urlopen(url).read()
    took = f"{time.perf_counter() - start:.2f}; {time.process_time() - cpu:.2f}"
    return json.loads(body), took, len(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", type=int, nargs="?", default=1000)
    parser.add_argument("tiles", type=int, nargs="?", default=1000)
    parser.add_argument("--folder", help="folder for temporary files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path, picture = Path(folder) / "feats.zarr", Path(folder) / "other.png"
        settings = make_settings(dim=8, clusters=20)
        writer = open_writer(path, settings)
        for number in range(given.slides):
            encoded = make_encoded(given.tiles, settings, seed=number)
            write_slide(writer, f"s{number:05}", encoded, batch=given.tiles)
        finalize(path)
        cv2.imwrite(str(picture), np.full((64, 64, 3), 230, np.uint8))
        rows = []
        with wsi_embed.view(path, slides=picture, port=0) as viewer:
            for name in ("list, first", "list, later"):
                found, seconds, size = get(f"{viewer.url}api/stores/0/slides")
                rows.append((f"{name} ({size / 1e6:.2f} MB)", seconds))
            assert sum(line["tiles"] or 0 for line in found["slides"]) == given.slides * given.tiles
            rows.append(("clusters, without shares", get(f"{viewer.url}api/stores/0/clusters")[1]))
            start, cpu = time.perf_counter(), time.process_time()
            while not get(f"{viewer.url}api/stores/0/clusters")[0]["complete"]:
                time.sleep(0.2)
            took = f"{time.perf_counter() - start:.2f}; {time.process_time() - cpu:.2f}"
            rows.append(("until the shares of all clusters are counted", took))
    about = f"{given.slides:,} slides, {given.slides * given.tiles:,} tiles; load {os.getloadavg()[0]:.0f}"
    print(f"| {about} | seconds; of the processor |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
