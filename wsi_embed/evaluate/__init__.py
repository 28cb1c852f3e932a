"""How good are features? Evaluations that need no further training."""

from wsi_embed.evaluate.knn import KnnScores, evaluate_knn, nearest_neighbours

__all__ = ["KnnScores", "evaluate_knn", "nearest_neighbours"]
