"""Reading a store loads neither the encoder nor what reads slides, so that MIL scripts start fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from wsi_embed.store import open_store

HEAVY = [
    *("cv2", "matplotlib", "onnxruntime", "openslide", "openvino", "pandas", "PIL", "scipy", "simplejpeg"),
    *("tifffile", "torch", "typer"),
]

READ = """
import sys, wsi_embed
path, *heavy = sys.argv[1:]
store = wsi_embed.open_store(path)
sums = {slide_id: float(bag.features[:].astype("float64").sum()) for slide_id, bag in store.items()}
[patient] = store.patients().values()
patient.coords[:], patient.cluster_histogram()
assert wsi_embed.finalize(path)[1] == []
assert wsi_embed.verify(path) == []
print({name.partition(".")[0] for name in sys.modules} & {*heavy} or "light")
print(sums["a"])
"""


def test_reading_a_store_loads_nothing_heavy(store_path: Path) -> None:
    command = [sys.executable, "-c", READ, str(store_path), *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, total = done.stdout.splitlines()
    assert loaded == "light"
    assert float(total) == np.sum(open_store(store_path)["a"].features[:], dtype=np.float64)


def test_writers_are_loaded_when_they_are_asked_for() -> None:
    code = """
import sys, wsi_embed.store as store
store.Store, print("cv2" in sys.modules)
store.StoreWriter, store.SlideWriter, print("cv2" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
