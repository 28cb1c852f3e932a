"""Train a multiple-instance learning model on a store.

    python examples/train_mil.py feats.zarr slides.csv

slides.csv has the columns slide_id and label. The model pools the tiles of a slide with gated attention
(Ilse et al., ICML 2018). The predictions are for the slides that it was trained on: docs/evaluation.md
explains how to get scores on other slides. Needs PyTorch: pip install '.[mil]'.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

import wsi_embed


class AttentionMIL(nn.Module):
    """A weighted mean of a bag's tiles, and a linear classifier on it.

    Args:
        features: Number of features of a tile.
        classes: Number of classes.
        hidden: Width of the attention network.
    """

    def __init__(self, features: int, classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.value = nn.Sequential(nn.Linear(features, hidden), nn.Tanh())
        self.gate = nn.Sequential(nn.Linear(features, hidden), nn.Sigmoid())
        self.score = nn.Linear(hidden, 1)
        self.classify = nn.Linear(features, classes)

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Classify a bag.

        Args:
            tiles: Features, float32 [N, D].

        Returns:
            The logits, [classes], and the attention of each tile, [N], which sums to 1.
        """
        attention = torch.softmax(self.score(self.value(tiles) * self.gate(tiles)).squeeze(1), dim=0)
        return self.classify(attention @ tiles), attention


def main() -> None:
    """Train the model and print a prediction for each slide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("store", help="the store")
    parser.add_argument("labels", help="CSV with slide_id and label")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(0)

    # Slides without a label, and bags without tiles, are left out and named in the notes.
    store = wsi_embed.open_store(args.store)
    labels = wsi_embed.join_labels(store, args.labels, missing="skip")
    print(f"{len(labels)} slides of {len(labels.classes)} classes", *labels.notes, sep="\n")

    # One item is one bag: a dictionary with features, coords, cluster, label and id. At most 4096 tiles are
    # drawn from a bag, others in each epoch.
    data = store.torch_dataset(labels, max_tiles=4096)
    model = AttentionMIL(data.feature_dim, len(data.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        data.set_epoch(epoch)
        total = 0.0
        for index in torch.randperm(len(data)).tolist():
            bag = data[index]
            logits, _ = model(bag["features"])
            loss = nn.functional.cross_entropy(logits, bag["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(data):.3f}")

    model.eval()
    with torch.no_grad():
        for index in range(len(data)):
            bag = data[index]
            logits, attention = model(bag["features"])
            probability, predicted = logits.softmax(dim=0).max(dim=0)
            x, y = bag["coords"][attention.argmax()].tolist()
            truth, guess = data.classes[bag["label"]], data.classes[predicted]
            print(
                f"{bag['id']}: {truth}, predicted {guess} ({probability:.2f}), looked most at tile ({x}, {y})"
            )


if __name__ == "__main__":
    try:
        main()
    except wsi_embed.WsiEmbedError as error:  # such as a wrong path: one line instead of a traceback
        raise SystemExit(str(error)) from None
