"""Bags of tiles for multiple-instance learning: arrays, patients, labels, data sets."""
