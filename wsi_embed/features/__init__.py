"""Feature jobs: features and clusters of tiles, written into a store."""
