r"""Comparison of cluster heads of CluBYOL with k-means on the projections that they see.

    export PYTHONPATH=.:train:export
    python benchmarks/cluster_head.py tiles.csv --init lite0.safetensors --judge DATA/ebhi.csv

The backbone is frozen, so its features of a few augmented views of each tile are computed once, and only
projector, predictor and cluster head are trained, with several settings and seeds. Each is judged by the
mutual information (NMI) and purity of its clusters with the labels of `--judge`.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn

from wsi_embed_train import load_recipe
from wsi_embed_train.augment import Views
from wsi_embed_train.backbones import make_backbone
from wsi_embed_train.data import read_image
from wsi_embed_train.methods.clubyol import CluBYOL
from wsi_embed_train.methods.siamese import projector
from wsi_embed_train.weights.initial import load_initial, read_initial

BACKBONE, MEAN, STD = "timm/tf_efficientnet_lite0", [0.498] * 3, [0.502] * 3
VIEWS, CLUSTERS, EPOCHS, BATCH, LR = 3, 20, 24, 256, 0.05
AUGMENTATION = {
    "tile_px": 160, "vflip_p": 0.5, "crop_scale": [0.3, 1.0], "jitter": [0.3, 0.3, 0.3, 0.05], "grey_p": 0.1,
    "blur_p": 0.3,
}  # fmt: skip
# Factor on the head's learning rate, scale of the noise, and share of the run after which k-means sets it.
VARIANTS: dict[str, tuple[float, float, float | None]] = {
    "published": (1.0, 1.0, None),
    "faster": (10.0, 1.0, None),
    "faster, less noise": (10.0, 0.1, None),
    "from k-means": (1.0, 1.0, 0.25),
    "from k-means, faster, less noise": (10.0, 0.1, 0.25),
}


def main() -> None:
    """Print one line for each variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path, help="CSV with a column path")
    parser.add_argument("--init", type=Path, required=True, help="weights of the backbone")
    parser.add_argument("--judge", type=Path, required=True, help="CSV with the columns path and label")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    backbone = make_backbone(BACKBONE)[0].eval()
    load_initial(read_initial(args.init, backbone, least_share=1.0), backbone)
    torch.manual_seed(0)
    features = view_features(backbone, [path for path, _ in listed(args.tiles)])
    judged = listed(args.judge)
    tiles = view_features(backbone, [path for path, _ in judged], views=0)[:, 0]
    labels = np.unique([label for _, label in judged], return_inverse=True)[1]
    print("| cluster head | NMI | purity | clusters used | NMI of k-means on the projections |")
    print("|---|---|---|---|---|")
    for name, variant in VARIANTS.items():
        heads = [(train_head(features, seed, *variant), seed) for seed in args.seeds]
        runs = [judge(head, features, tiles, labels, seed) for head, seed in heads]
        means = [f"{statistics.mean(column):.2f}" for column in zip(*runs, strict=True)]
        print("| " + " | ".join([name, *means]) + " |")


def listed(table: Path) -> list[tuple[Path, str]]:
    """Return the paths and labels of a table."""
    with table.open(newline="", encoding="utf-8") as lines:
        return [(table.parent / row["path"], row.get("label", "")) for row in csv.DictReader(lines)]


@torch.inference_mode()
def view_features(backbone: nn.Module, paths: list[Path], views: int = VIEWS) -> Tensor:
    """Return the features of each tile and of its augmented views, float32 [N, 1 + views, D]."""
    draw = Views(load_recipe("clubyol", **AUGMENTATION), MEAN, STD, views)
    found = []
    for start in range(0, len(paths), 32):
        tiles = torch.from_numpy(np.stack([read_image(path) for path in paths[start : start + 32]]))
        plain = (tiles.permute(0, 3, 1, 2).float() / 255 - MEAN[0]) / STD[0]
        images = [plain, *(draw(tiles) if views else [])]
        found.append(torch.stack([backbone(image) for image in images], 1))
    return torch.cat(found)


def train_head(
    features: Tensor, seed: int, cluster_lr: float, gumbel_noise: float, kmeans_from: float | None
) -> CluBYOL:
    """Train projector, predictor and cluster head on the features of views."""
    torch.manual_seed(seed)
    method = CluBYOL(
        backbone="timm/test_resnet", feat_size=256, predictor_hidden=1024, clusters=CLUSTERS, alpha=0.5,
        ema=0.99, ema_end=1.0, cluster_lr=cluster_lr, gumbel_noise=gumbel_noise,
    )  # fmt: skip
    for part in (method.encoder, method.target):
        part.backbone, part.projector = nn.Identity(), projector(features.shape[2], 256)
    method.target.load_state_dict(method.encoder.state_dict())
    method.target.requires_grad_(False)
    optimizer = torch.optim.SGD(method.parameter_groups(1e-4), lr=LR, momentum=0.9)
    steps = EPOCHS * (len(features) // BATCH)
    for step in range(steps):
        if kmeans_from is not None and step == int(kmeans_from * steps):
            set_by_kmeans(method, features[:, 0], seed)
        for group in optimizer.param_groups:
            group["lr"] = LR * group["lr_factor"] * (1 + np.cos(np.pi * step / steps)) / 2
        rows, pair = torch.randperm(len(features))[:BATCH], (torch.randperm(VIEWS)[:2] + 1).tolist()
        optimizer.zero_grad()
        method([features[rows, view] for view in pair]).loss.backward()
        optimizer.step()
        method.after_step((step + 1) / steps)
    return method.eval()


@torch.no_grad()
def set_by_kmeans(method: CluBYOL, tiles: Tensor, seed: int, margin: float = 10.0) -> None:
    """Set the assigner to the nearest mean of the hidden layer, of k-means clusters of the projections."""
    method.eval()
    projections = method.encoder(tiles)
    labels = torch.from_numpy(kmeans(projections, seed).predict(F.normalize(projections, dim=1).numpy()))
    hidden = method.cluster_projector(projections)
    means = torch.stack([hidden[labels == cluster].mean(0) for cluster in range(CLUSTERS)])
    weight, bias = means - means.mean(0), means @ means.mean(0) - means.square().sum(1) / 2
    best = (hidden @ weight.T + bias).topk(2, dim=1).values
    scale = margin / (best[:, 0] - best[:, 1]).mean()
    method.cluster_assigner.weight.copy_(weight * scale)
    method.cluster_assigner.bias.copy_(bias * scale)
    method.train()


def kmeans(projections: Tensor, seed: int) -> KMeans:
    """Cluster projections of length 1."""
    return KMeans(CLUSTERS, n_init=5, random_state=seed).fit(F.normalize(projections, dim=1).numpy())


@torch.no_grad()
def judge(
    method: CluBYOL, features: Tensor, tiles: Tensor, labels: npt.NDArray[np.int64], seed: int
) -> tuple[float, float, float, float]:
    """Return NMI, purity and number of clusters of the head, and the NMI of k-means on its projections."""
    projections = method.encoder(tiles)
    clusters = method.assign(projections).argmax(1).numpy()
    compared = kmeans(method.encoder(features[:, 0]), seed).predict(F.normalize(projections, dim=1).numpy())
    pure = sum(np.bincount(labels[clusters == one]).max() for one in np.unique(clusters)) / len(labels)
    used = len(np.unique(clusters))
    nmi, compared_nmi = (normalized_mutual_info_score(labels, found) for found in (clusters, compared))
    return float(nmi), float(pure), float(used), float(compared_nmi)


if __name__ == "__main__":
    main()
