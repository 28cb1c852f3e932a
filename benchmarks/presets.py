r"""Comparison of presets with their model cards at full size, and their cost.

    PYTHONPATH=.:train:export python benchmarks/presets.py --work build/presets uni hibou-b ctranspath
    PYTHONPATH=.:train:export python benchmarks/presets.py --flops

For each preset: the network of the card (`tests/export/cards.py`) gets random weights (and batch norms the
statistics of tissue), is saved in the published layout, exported in each precision, and compared on real
tissue with what the card computes. The comparison with PyTorch that belongs to the export is cut to three
tiles of each kind; where it refuses the file, the line says so. `--flops` only counts the operations of all
presets, without weights. Prints one line of JSON for each. The largest need 24 GiB of memory.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.export.cards import CARDS, published, run
from tests.export.published import randomised
from wsi_embed import load_encoder
from wsi_embed.encoder import Encoded
from wsi_embed.encoder.difference import difference
from wsi_embed_export import export, parity
from wsi_embed_export.beside import data_file
from wsi_embed_export.parity import ParityError
from wsi_embed_export.presets import Preset, presets
from wsi_embed_export.real_tiles import packaged_tiles

TILES = 4


def main() -> None:
    """Compare the presets that are named, or count the operations of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--suffix", default=".onnx")
    parser.add_argument("--precision", nargs="+", default=["fp32", "fp16"])
    parser.add_argument("--flops", action="store_true")
    args = parser.parse_args()
    if args.flops:
        for preset in presets().values():
            print(json.dumps({"preset": preset.name, "gflop": round(gigaflops(preset), 1)}))
        return
    setattr(parity, "BATCHES", (1, 2))  # noqa: B010
    args.work.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        for found in compared(presets()[name], args.work, args.suffix, args.precision):
            print(json.dumps(found), flush=True)


def compared(preset: Preset, work: Path, suffix: str, precisions: list[str]) -> Iterator[dict[str, Any]]:
    """Export a network of the card, and yield for each precision how far it is from the card."""
    network = randomised(CARDS[preset.name].make({}), std=0.03)
    take_statistics(preset, network)
    content = published(preset.name, dict(network.state_dict()))
    weights = work / preset.file
    if weights.suffix == ".safetensors":
        save_file(content, weights)
    else:
        torch.save(content, weights)
    tiles = packaged_tiles(np.random.default_rng(0), TILES, preset.tile_px)
    expected = run(preset.name, network, tiles).numpy()
    del network, content
    for precision in precisions:
        out = work / f"{preset.name}-{precision}{suffix}"
        Path("/proc/self/clear_refs").write_text("5")  # the peak of the memory starts again
        began = time.process_time()
        try:
            export(preset.name, out, weights=weights, precision=precision, mpp=preset.mpp or 0.5)
        except ParityError as error:
            yield {"preset": preset.name, "file": f"{precision}{suffix}", "refused": str(error)}
            continue
        seconds = time.process_time() - began
        found = load_encoder(out, device="cpu").encode(tiles).features
        apart = difference(Encoded(expected), Encoded(found))
        for file in (out, data_file(out)):
            file.unlink(missing_ok=True)
        yield {
            "preset": preset.name,
            "file": f"{precision}{suffix}",
            "features": found.shape[1],
            "cosine": round(apart.min_cosine, 7),
            "centred_cosine": round(apart.min_centred_cosine, 6),
            "processor_seconds": round(seconds),
            "peak_gib": round(peak_gib(), 1),
        }
    weights.unlink()


def take_statistics(preset: Preset, network: nn.Module) -> None:
    """Give batch norms the statistics of real tissue, without which features hardly depend on the tile."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    if norms:
        run(preset.name, network, packaged_tiles(np.random.default_rng(1), 3 * TILES, preset.tile_px))
    network.eval()


def peak_gib() -> float:
    """Return the largest memory of this process, GiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 2**20


def gigaflops(preset: Preset) -> float:
    """Return the operations for one tile, multiplications and additions counted each, without weights."""
    with torch.device("meta"):
        network = CARDS[preset.name].make({}).eval().requires_grad_(False)
        images = torch.empty(1, 3, preset.crop, preset.crop)
    if preset.name == "kaiko-vitl14":  # the card resamples its positions at run time
        network.pos_embed = torch.nn.Parameter(torch.empty(1, 257, 1024, device="meta"), False)
    with FlopCounterMode(display=False) as counter:
        network(images)
    return float(counter.get_total_flops()) / 1e9


if __name__ == "__main__":
    main()
