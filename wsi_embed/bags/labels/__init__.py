"""Labels of slides and patients, joined to the bags of a store."""

from wsi_embed.bags.labels.bags import LabelledBag, LabelledBags
from wsi_embed.bags.labels.join import Missing, join_labels
from wsi_embed.bags.labels.numbers import join_survival, join_values
from wsi_embed.bags.labels.table import By, LabelRow, LabelSource, read_labels

__all__ = [
    "By",
    "LabelRow",
    "LabelSource",
    "LabelledBag",
    "LabelledBags",
    "Missing",
    "join_labels",
    "join_survival",
    "join_values",
    "read_labels",
]
