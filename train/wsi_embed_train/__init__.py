"""Self-supervised training of tile encoders (extra `train`): CluBYOL on a folder of tiles."""

from wsi_embed_train.clustering import cluster_similarity
from wsi_embed_train.config import TrainConfig, load_recipe
from wsi_embed_train.fit import train

__all__ = ["TrainConfig", "cluster_similarity", "load_recipe", "train"]
