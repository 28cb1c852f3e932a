"""Comparison of variants of the CluBYOL recipe with respect to collapse, after the same number of steps.

    python benchmarks/collapse.py tiles.csv --out ablation --px 96 --steps 150 --seeds 0 1

Each run writes `health.csv` (figures of every 10th step) and `result.json` into its own folder. Existing runs
are not repeated. The CSV has columns `path`, `label` and `split` (train, test).
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wsi_embed.evaluate.knn import evaluate_knn
from wsi_embed_train import TrainConfig, build_method, load_recipe
from wsi_embed_train.collapse import assignment_figures, diagnose, representation_figures
from wsi_embed_train.methods import Method
from wsi_embed_train.schedule import learning_rate_factor

EVERY = 10
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PATIENCE = 5
PAPER = {"ema_end": 0.99, "exclude_norm_bias": False, "warmup_epochs": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": PAPER,
    "ema": PAPER | {"ema_end": 1.0},
    "decay": PAPER | {"exclude_norm_bias": True},
    "warmup": PAPER | {"warmup_epochs": 1},
    "predictor": PAPER | {"fix_pred_lr": True},
    "ours": {},
    "byol": PAPER | {"alpha": 0.0},
}


def main() -> None:
    """Run the missing variants, then print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--px", type=int, default=96)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--set", nargs="*", default=[], help="KEY=NUMBER for all variants")
    args = parser.parse_args()
    tiles = Tiles(args.csv, args.px)
    both = {k: float(v) for k, v in (pair.split("=") for pair in args.set)}
    for seed in args.seeds:
        for name in args.variants:
            folder = args.out / f"{name}-{seed}"
            if not (folder / "result.json").exists():
                recipe = load_recipe(
                    "clubyol", tile_px=args.px, batch_size=args.batch_size, precision="bf16", seed=seed,
                    epochs=max(2, args.steps * args.batch_size // len(tiles.train)),
                    **(VARIANTS[name] | both),
                )  # fmt: skip
                run(recipe, tiles, folder, args.steps)
    print_table(args.out)


class Tiles:
    """All tiles of a CSV in memory, resized to one size."""

    def __init__(self, source: Path, px: int) -> None:
        from PIL import Image

        with source.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))

        def load(split: str) -> tuple[np.ndarray[Any, Any], list[str], list[str]]:
            of = [r for r in rows if r["split"] == split]
            images = [Image.open(source.parent / r["path"]).convert("RGB").resize((px, px), 1) for r in of]
            return (
                np.stack([np.asarray(i) for i in images]),
                [r["label"] for r in of],
                [r["label"].split("_")[0] for r in of],
            )

        self.train, self.train_labels, self.train_organs = load("train")
        self.test, self.test_labels, self.test_organs = load("test")
        self.mean = (self.train / 255).mean((0, 1, 2)).tolist()
        self.std = (self.train / 255).std((0, 1, 2)).tolist()

    def batches(self, config: TrainConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of two views without end."""
        from PIL import Image

        from wsi_embed_train.augment.published import TwoViews

        views = TwoViews(config, self.mean, self.std)
        order = np.random.default_rng(config.seed)
        while True:
            numbers = order.permutation(len(self.train))
            for at in range(0, len(numbers) - config.batch_size + 1, config.batch_size):
                pairs = [views(Image.fromarray(self.train[n])) for n in numbers[at : at + config.batch_size]]
                yield torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])


def run(config: TrainConfig, tiles: Tiles, folder: Path, steps: int) -> None:
    """Train one variant and write its figures."""
    torch.manual_seed(config.seed)
    network = build_method(config.method, vars(config)).to(DEVICE).to(memory_format=torch.channels_last)
    lr = config.lr * config.batch_size / 256
    groups = network.parameter_groups(config.weight_decay, exclude_norm_bias=config.exclude_norm_bias)
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=config.momentum)
    per_epoch = len(tiles.train) // config.batch_size
    history: list[dict[str, float]] = []
    collapses: dict[str, int] = {}
    began = time.monotonic()
    for step, views in enumerate(tiles.batches(config)):
        if step == steps:
            break
        for group in optimizer.param_groups:
            factor = learning_rate_factor(step // per_epoch, config.epochs, config.warmup_epochs)
            group["lr"] = lr * group["lr_factor"] * (1.0 if group["fixed_lr"] else factor)
        seen = watch(network)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            said = network([v.to(DEVICE).contiguous(memory_format=torch.channels_last) for v in views])
        optimizer.zero_grad()
        said.loss.backward()
        optimizer.step()
        network.after_step((step + 1) / steps)
        features = seen()
        if step % EVERY == 0 or step == steps - 1:
            figures = representation_figures(features)
            if said.logits is not None:
                figures |= assignment_figures(said.logits)
            figures |= {name: float(value) for name, value in said.terms.items()}
            history.append({"step": step, **figures})
            if found := diagnose(history, config.clusters, PATIENCE):
                collapses.setdefault(found.kind, step)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "health.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    result = {
        "settings": config.to_dict(), "steps": steps, "seconds": round(time.monotonic() - began, 1),
        "collapses": collapses, "last": history[-1], "knn": scores(network, tiles),
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def watch(network: Method) -> Callable[[], Tensor]:
    """Return a function that gives the features of the last view of the latest forward pass."""
    seen: list[Tensor] = []
    hook = network.encoder.backbone.register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))

    def take() -> Tensor:
        hook.remove()
        return seen[-1]

    return take


@torch.inference_mode()
def scores(network: Method, tiles: Tiles) -> dict[str, float]:
    """Return the macro F1 of the nearest neighbour, for each organ separately."""
    network.eval()
    mean = torch.tensor(tiles.mean).view(1, 3, 1, 1)
    std = torch.tensor(tiles.std).view(1, 3, 1, 1)

    def features(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows = []
        for at in range(0, len(images), 256):
            x = torch.from_numpy(images[at : at + 256]).permute(0, 3, 1, 2).float() / 255
            rows.append(network.encoder.backbone(((x - mean) / std).to(DEVICE)).float().cpu())
        return torch.cat(rows).numpy()

    train, test = features(tiles.train), features(tiles.test)
    found: dict[str, float] = {}
    for organ in sorted(set(tiles.test_organs)):
        a, b = (np.array(o) == organ for o in (tiles.train_organs, tiles.test_organs))
        said = evaluate_knn(
            train[a],
            list(np.array(tiles.train_labels)[a]),
            test[b],
            list(np.array(tiles.test_labels)[b]),
            k=1,
        )
        found[organ] = round(said.f1_macro, 4)
    return found


SHOWN = {
    "largest_share": 2, "noise_kept": 2, "clusters_used": 0, "cluster_similarity": 4,
    "effective_rank": 0, "feature_std": 2,
}  # fmt: skip


def print_table(out: Path) -> None:
    """Print one line per variant: mean, minimum and maximum over seeds at the last step."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob("*/result.json")):
        runs.setdefault(path.parent.name.rsplit("-", 1)[0], []).append(json.loads(path.read_text("utf-8")))
    organs = list(next(iter(runs.values()))[0]["knn"])
    print("| " + " | ".join(["variant", *SHOWN, *(f"kNN F1, {o}" for o in organs), "collapses"]) + " |")
    for name in sorted(runs, key=[*VARIANTS].index):
        cells = [spread([r["last"][k] for r in runs[name] if k in r["last"]], n) for k, n in SHOWN.items()]
        cells += [spread([r["knn"][organ] for r in runs[name]], 2) for organ in organs]
        collapses = [str(r["collapses"]) for r in runs[name] if r["collapses"]]
        print("| " + " | ".join([name, *cells, ", ".join(collapses) or "none"]) + " |")


def spread(values: list[float], digits: int) -> str:
    """Format mean, minimum and maximum."""
    if not values:
        return "-"
    mean, least, most = (f"{v:.{digits}f}" for v in (float(np.mean(values)), min(values), max(values)))
    return f"{mean} ({least} to {most})"


if __name__ == "__main__":
    main()
