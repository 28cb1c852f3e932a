"""Viewer in the browser: slides of feature stores with clusters, contours and attention (extra `view`)."""
