"""Evaluations of features that need no further training of the encoder."""

from wsi_embed.evaluate.knn import KnnScores, evaluate_knn, nearest_neighbours

__all__ = ["KnnScores", "evaluate_knn", "nearest_neighbours"]
