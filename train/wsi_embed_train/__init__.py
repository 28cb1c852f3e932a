"""Training of tile encoders (extra `train`): CluBYOL, CluSiam and what they are compared with."""

from wsi_embed_train.clustering import cluster_similarity
from wsi_embed_train.config import TrainConfig, load_recipe, parse_settings
from wsi_embed_train.fit import train
from wsi_embed_train.listener import Listener
from wsi_embed_train.methods import build_method

__all__ = [
    "Listener",
    "TrainConfig",
    "build_method",
    "cluster_similarity",
    "load_recipe",
    "parse_settings",
    "train",
]
