"""Bags of tiles as multiple-instance learning takes them: arrays, patients, labels, data sets."""
