"""Exploration of a store: similar tiles, labels from named clusters, and a map of tiles."""
