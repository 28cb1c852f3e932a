"""The commands that are disturbed, and what their output has to be in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.job_tools import invoke, make_model, make_slides
from tests.killed import killed
from tests.made_models import TINY_BACKBONE, tiny_tiles
from wsi_embed.util.atomic_files import PARTIAL

# Settings of a training of a second or two.
TRAINING = (
    "--backbone", TINY_BACKBONE, "--tile-px", "32", "--epochs", "2", "--batch-size", "8", "--workers", "0",
    "--devices", "cpu", "--clusters", "5", "--feat-size", "16", "--set", "warmup_epochs=0",
    "--set", "predictor_hidden=32",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """Command that writes into a folder of its own.

    Attributes:
        name: Name in the table.
        arguments: Arguments, with `{out}` for the folder that it writes into.
        once: Whether it refuses to write over complete output.
        same: Whether two runs write the same bytes.
        resumed: File of the output from which on the command is run again with `--resume`; None for never.
    """

    name: str
    arguments: Sequence[str]
    once: bool = False
    same: bool = True
    resumed: str | None = None

    def run(self, out: Path) -> int:
        """Run the command in this process and return its exit code; other errors are bugs and pass."""
        typed = [part.replace("{out}", str(out)) for part in self.arguments]
        if self.resumed and (out / self.resumed).exists():
            typed.append("--resume")
        return invoke(*typed).returncode

    def killed(self, out: Path, write: int) -> bool:
        """Run the command, killed at one of its writes; return whether it came that far."""
        return killed(out.resolve(), write, lambda: self.run(out))


@dataclass(frozen=True)
class Inputs:
    """Slides, a model, a store of them, tiles, and a training run, for all commands."""

    slides: Path
    model: Path
    store: Path
    labels: Path
    tiles: Path
    trained: Path

    @classmethod
    def make(cls, folder: Path) -> Inputs:
        """Make small inputs in a folder."""
        slides, model = make_slides(folder / "slides", count=6, side=200), make_model(folder / "model")
        tiles = tiny_tiles(folder / "tiles")
        made = cls(slides, model, folder / "made.zarr", folder / "labels.csv", tiles, folder / "trained")
        ids = [f"batch%202__s{number}" if number % 2 else f"s{number}" for number in range(6)]
        made.labels.write_text("".join(["slide_id,label\n", *(f"{name},{name[0]}\n" for name in ids)]))
        assert invoke(slides, "--out", made.store, "--model", model, "--device", "cpu").returncode == 0
        assert invoke("train", tiles, "--out", made.trained, *TRAINING).returncode == 0
        return made


def commands(inputs: Inputs) -> list[Command]:
    """Return all commands that write."""
    slides, store = str(inputs.slides), str(inputs.store)
    model = ("--model", str(inputs.model), "--device", "cpu")
    labels = ["--labels", str(inputs.labels)]
    mil = ("--method", "mean", "--folds", "3")
    formats = ("trident", "clam", "torchmil", "stamp", "dsmil")
    return [
        Command("embed", [slides, "--out", "{out}/f.zarr", *model, "--report", "{out}/r.json"], same=False),
        Command("embed --overwrite", [slides, "--out", "{out}/f.zarr", *model, "--overwrite"], same=False),
        Command("tile", ["tile", slides, "--out", "{out}/tiles", "--tile-px", "64"]),
        *(
            Command(f"convert {f}", ["convert", store, "--to", f, "--out", f"{{out}}/{f}", *labels])
            for f in formats
        ),
        Command("plot", ["plot", store, "--slides", slides, "--out", "{out}/plots", "--max-px", "100"]),
        Command("plot --geojson", ["plot", store, "--geojson", "--out", "{out}/geojson"]),
        Command("eval clusters", ["eval", "clusters", store, "--out", "{out}/clusters"], True, False),
        Command("eval mil", ["eval", "mil", store, *labels, *mil, "--out", "{out}/mil"], True, False),
        Command("cluster", ["cluster", store, "--k", "3", "--out", "{out}/head"], True, False),
        Command(
            "train",
            ["train", str(inputs.tiles), "--out", "{out}/run", *TRAINING],
            True,
            False,
            "run/checkpoints/last.ckpt",
        ),
        Command(
            "export", ["export", str(inputs.trained), "--out", "{out}/m.onnx", "--mpp", "0.5"], True, False
        ),
    ]


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a folder by path, without temporary ones.

    Nor those of TensorBoard, whose names hold the time.
    """
    found = (path for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name)
    names = ((path, path.relative_to(folder).as_posix()) for path in found)
    return {
        name: path.read_bytes()
        for path, name in names
        if not path.name.endswith(PARTIAL) and not any(p.startswith(".") for p in name.split(os.sep))
    }
