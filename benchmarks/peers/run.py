r"""Benchmark of another tool and wsi-embed on the same slide with the same weights, in alternating runs.

    PYTHONPATH=. python benchmarks/peers/run.py lazyslide --folder build/bench

Creates the environment of the tool (6 to 7 GB), runs it and wsi-embed (fp32 and int8) alternately `--passes`
times, compares features, writes FOLDER/lazyslide.json, and deletes the environment unless `--keep` is given.
TRIDENT needs `--checkout`. Settings: CPU, two threads, float32 for the other tool, tiles of 224 pixels at 0.5
um per pixel, batches of 32. Everything else is the default of the tool, including tissue detection, so the
numbers of tiles differ. `table.py` prints the files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.end_to_end import embed_once
from benchmarks.measure import run
from wsi_embed import load_encoder, open_slide
from wsi_embed.slide.stream import resample

PINNED = {
    "slide2vec": ["slide2vec==7.1.4", "hs2p==6.1.0"],
    "lazyslide": ["lazyslide==0.13.0", "wsidata==0.12.0"],
    "tiatoolbox": ["tiatoolbox==2.1.3"],
    "trident": [],
}
HERE = Path(__file__).parent
EXTENT, TILE_PX = 448, 224
COMPARED = 64
THREADS = {
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "CUDA_VISIBLE_DEVICES": "",
    "WANDB_MODE": "disabled",
}


def main() -> None:
    """Create the environment, measure, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PINNED)
    parser.add_argument("--folder", type=Path, required=True, help="of slides.py and models.py")
    parser.add_argument("--checkout", type=Path, help="of TRIDENT's repository")
    parser.add_argument("--side", type=int, default=20_000, help="of the slide")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="the environment")
    args = parser.parse_args()
    folder, environment = args.folder.resolve(), args.folder.resolve() / f"env-{args.peer}"
    packages = [str(args.checkout.resolve())] if args.checkout else PINNED[args.peer]
    if not packages:
        raise SystemExit("TRIDENT is in no registry: --checkout says where its repository lies")
    make_environment(environment, packages)
    found = measure(args.peer, environment, folder, folder / f"slide{args.side}.tif", args.passes)
    (folder / f"{args.peer}.json").write_text(json.dumps(found, indent=2) + "\n")
    if not args.keep:
        shutil.rmtree(environment)


def make_environment(folder: Path, packages: list[str]) -> None:
    """Create a virtual environment with some packages, unless a complete one exists."""
    done = folder / "made"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    done.touch()


def measure(peer: str, environment: Path, folder: Path, slide: Path, passes: int) -> dict[str, Any]:
    """Run the tool and wsi-embed alternately."""
    size = sum(f.stat().st_size for f in environment.rglob("*") if f.is_file() and not f.is_symlink())
    result: dict[str, Any] = {
        "peer": peer,
        "environment_mb": round(size / 1e6),
        "theirs": [],
        "fp32": [],
        "int8": [],
    }
    for _ in range(passes):
        for precision in ("fp32", "int8"):
            result[precision].append(embed_once(slide, folder / f"{precision}.onnx", "cpu"))
        with tempfile.TemporaryDirectory(dir=folder) as out:
            command: list[str | Path] = [
                environment / "bin" / "python", HERE / f"run_{peer}.py", slide,
                "--weights", folder / "weights.pth", "--out", out,
            ]  # fmt: skip
            measured = run(command, THREADS, Path(out))
            said = json.loads(measured.output.splitlines()[-1])
            result["cosine"] = compare(np.load(said.pop("features")), slide, folder / "fp32.onnx")
        result["theirs"].append({
            **said,
            "seconds": round(measured.seconds, 3),
            "import_seconds": round(measured.seconds - said["seconds_without_imports"], 3),
            "memory_mb": round(measured.memory_mb),
        })  # fmt: skip
    return result


def compare(theirs: Any, slide: Path, model: Path) -> dict[str, float]:
    """Return centred cosines between the features of both tools for tiles at the same corners."""
    rows = np.linspace(0, len(theirs["coords"]) - 1, COMPARED).astype(int)
    tiles = np.empty((COMPARED, TILE_PX, TILE_PX, 3), np.uint8)
    with open_slide(slide) as opened:
        for tile, (x, y) in zip(tiles, theirs["coords"][rows].tolist(), strict=True):
            resample(opened.read(0, x, y, EXTENT, EXTENT), tile)
    ours = load_encoder(model, device="cpu").encode(tiles).features
    a, b = (each - ours.mean(0) for each in (theirs["features"][rows], ours))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return {"mean": round(float(cosine.mean()), 5), "least": round(float(cosine.min()), 5)}


if __name__ == "__main__":
    main()
